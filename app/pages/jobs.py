"""The page of all jobs."""

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from app.finetune.job_kinds import FINETUNING, JobKind
from app.guard.gate import CallerDep
from app.jobs.search import JobFilter, find_jobs
from app.jobs.states import CLAIMED, JobStatus
from app.pages import words
from app.pages.formats import duration_in_words
from app.pages.job_rows import JobRow, job_rows
from app.pages.layout import look_at_layout
from app.pages.render import PageRoute, render_page
from app.routes.dependencies import ReadingSessionDep, ServiceDep

JOBS_SHOWN = 25

TABS: dict[str, tuple[str, tuple[JobStatus, ...]]] = {
    "": ("All", ()),
    "active": ("Active", (JobStatus.QUEUED, JobStatus.PAUSED, *sorted(CLAIMED))),
    "succeeded": ("Succeeded", (JobStatus.SUCCEEDED,)),
    "failed": ("Failed", (JobStatus.FAILED,)),
    "cancelled": ("Cancelled", (JobStatus.CANCELLED,)),
}
"""The tabs above the list: the title of each, and its statuses."""

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@router.get("/")
def show_jobs(
    request: Request,
    session: ReadingSessionDep,
    service: ServiceDep,
    caller: CallerDep,
    tab: Annotated[str, Query(max_length=20)] = "",
    kind: JobKind = FINETUNING,
    before: Annotated[str, Query(max_length=24)] = "",
) -> Response:
    """Show the jobs that the caller may see, newest first."""
    tab = tab if tab in TABS else ""
    wanted = JobFilter(kinds=[kind], statuses=TABS[tab][1])
    found = find_jobs(session, wanted, cursor=before or None, limit=JOBS_SHOWN)
    rows = job_rows(session, service.artifacts, found.jobs, service.settings.worker_seen_seconds)
    is_first = not (tab or before) and kind == FINETUNING
    return render_page(
        request,
        "jobs.html.jinja",
        look_at_layout(session, service, caller, request),
        rows=rows,
        tab=tab,
        tabs={name: (title, _address(name, kind)) for name, (title, _) in TABS.items()},
        kind=kind,
        kinds=words.KINDS,
        verdicts=words.VERDICTS,
        older=None if found.next_cursor is None else _address(tab, kind, found.next_cursor),
        newer=bool(before),
        empty=is_first and not rows,
        now=_now(rows) if is_first else None,
    )


def _address(tab: str, kind: str, before: str = "") -> str:
    asked = {"tab": tab, "kind": "" if kind == FINETUNING else kind, "before": before}
    query = urlencode({name: value for name, value in asked.items() if value})
    return f"/?{query}" if query else "/"


def _now(rows: Sequence[JobRow]) -> tuple[str, str] | None:
    """Return what runs, and which of the jobs shown is the best."""
    working = [row for row in rows if row.is_working]
    queued = sum(row.status is JobStatus.QUEUED for row in rows)
    return _working(working, queued), _best(rows)


def _working(working: Sequence[JobRow], queued: int) -> str:
    waiting = "" if not queued else f" {queued} wait{'s' if queued == 1 else ''} in the queue."
    if not working:
        return f"No job is running.{waiting}"
    if len(working) > 1:
        return f"{len(working)} jobs are running.{waiting}"
    row = working[0]
    left = "" if row.eta_seconds is None else f", about {duration_in_words(row.eta_seconds)} left"
    return f"One job is running{left}.{waiting}"


def _best(rows: Sequence[JobRow]) -> str:
    measured = [
        (row.change.achieved.value, row)
        for row in rows
        if row.change is not None and row.change.achieved.value is not None and row.change.measure == "TAR@FAR=1%"
    ]
    if not measured:
        return ""
    value, best = max(measured, key=lambda each: each[0])
    before = best.change.baseline.value if best.change is not None else None
    than = "" if before is None else f"; {before:.3f} before"
    return f"The best of them, {best.name}, accepts {value:.3f} of true pairs{than}."
