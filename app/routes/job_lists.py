"""Lists of jobs, and how many there are in each status."""

import unicodedata
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AfterValidator, StringConstraints

from app.api_models.job import JobCounts, JobPage
from app.api_models.labels import JobTags
from app.finetune.job_kinds import ALL_KINDS, FINETUNING, JobKindOrAll
from app.jobs.search import JobFilter, Sort, count_jobs, find_jobs
from app.jobs.states import JobStatus
from app.jobs.views import view_jobs
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ReadingSessionDep, ServiceDep
from app.routes.former_names import announce_former_names

router = APIRouter(
    prefix="/jobs", tags=["jobs"], responses=PROBLEM_RESPONSES, dependencies=[Depends(announce_former_names)]
)


def _plain(text: str) -> str:
    if any(unicodedata.category(each) == "Cc" for each in text):
        raise ValueError("must not contain a control character")
    return text


async def get_filter(
    kind: Annotated[
        list[JobKindOrAll] | None,
        Query(
            description="Only jobs of this kind; `all`: of every kind. May be repeated. Default: `finetuning`. "
            "`dry_run`: the jobs that `dry_run=estimate` made."
        ),
    ] = None,
    tag: Annotated[JobTags, Query(description="Only jobs with this tag. May be repeated: with all of them.")] = [],  # noqa: B006
    q: Annotated[
        str,
        StringConstraints(max_length=200),
        AfterValidator(_plain),
        Query(
            description="Only jobs with this text in the name, a tag, the dataset or the id, in upper or lower case.",
        ),
    ] = "",
) -> JobFilter:
    kinds = [FINETUNING] if kind is None else [] if ALL_KINDS in kind else kind
    return JobFilter(kinds=kinds, tags=tag, text=q)


FilterDep = Annotated[JobFilter, Depends(get_filter)]


@router.get("", response_model=JobPage)
def list_jobs(
    session: ReadingSessionDep,
    service: ServiceDep,
    announced: Response,
    wanted: FilterDep,
    status: Annotated[list[JobStatus] | None, Query(description="Only jobs of this status. May be repeated.")] = None,
    sort: Annotated[
        Sort,
        Query(
            description="`newest` first. `best`: the highest TAR at FAR 1% after the training first. `longest`: the "
            "longest time from the start to the end, or to now, first. Jobs without that figure come last."
        ),
    ] = Sort.NEWEST,
    cursor: Annotated[
        str | None, Query(description="`next_cursor` of the previous page, which had the same filters and `sort`.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """List jobs, newest first."""
    found = find_jobs(session, replace(wanted, statuses=status or []), sort=sort, cursor=cursor, limit=limit)
    page = JobPage(
        jobs=view_jobs(session, found.jobs, service.settings.worker_seen_seconds),
        next_cursor=found.next_cursor,
    )
    # Here, in a thread: FastAPI would encode it on the event loop, and adds the headers of dependencies only then.
    return Response(page.model_dump_json(by_alias=True), media_type="application/json", headers=dict(announced.headers))


@router.get("/counts")
def get_counts(session: ReadingSessionDep, wanted: FilterDep) -> JobCounts:
    """Return how many jobs of a list are in each status."""
    counts = count_jobs(session, wanted)
    return JobCounts(total=sum(counts.values()), by_status=counts)
