"""The page of all jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request, Response

from app.guard.gate import CallerDep
from app.jobs.search import JobFilter, Sort, count_jobs, find_jobs
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


@dataclass(frozen=True)
class Asked:
    """What the address asks for: a part of the jobs, and their order. The defaults are left out of addresses."""

    tab: str = ""
    kind: str = ""
    q: str = ""
    tag: str = ""
    sort: Sort = Sort.NEWEST

    def address(self, **changed: str) -> str:
        """Return the address of the list with other values, such as another tab."""
        values = {**asdict(self), "sort": "" if self.sort is Sort.NEWEST else self.sort.value, **changed}
        query = urlencode({name: value for name, value in values.items() if value})
        return f"/?{query}" if query else "/"

    @property
    def filter(self) -> JobFilter:
        return JobFilter(
            kinds=[self.kind] if self.kind else (),
            statuses=TABS[self.tab][1],
            tags=[self.tag] if self.tag else (),
            text=self.q,
        )


def _asked(
    tab: Annotated[str, Query(max_length=20)] = "",
    kind: Annotated[str, Query(max_length=40)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    tag: Annotated[str, Query(max_length=40)] = "",
    sort: Sort = Sort.NEWEST,
) -> Asked:
    return Asked(tab if tab in TABS else "", kind if kind in words.KINDS else "", q.strip(), tag.strip(), sort)


@router.get("/")
def show_jobs(
    request: Request,
    session: ReadingSessionDep,
    service: ServiceDep,
    caller: CallerDep,
    asked: Annotated[Asked, Depends(_asked)],
    before: Annotated[str, Query(max_length=24)] = "",
) -> Response:
    """Show the jobs that the caller may see: of all kinds, newest first, unless the address asks for others."""
    found = find_jobs(session, asked.filter, sort=asked.sort, cursor=before or None, limit=JOBS_SHOWN)
    rows = job_rows(session, service.artifacts, found.jobs, service.settings.worker_seen_seconds)
    counts = count_jobs(session, asked.filter)
    is_plain = asked == Asked(sort=asked.sort) and not before
    return render_page(
        request,
        "jobs.html.jinja",
        look_at_layout(session, service, caller, request),
        asked=asked,
        rows=rows,
        tabs=[
            (name, title, asked.address(tab=name), _count(counts, statuses)) for name, (title, statuses) in TABS.items()
        ],
        kinds=words.KINDS,
        sorts=words.SORTS,
        verdicts=words.VERDICTS,
        older=None if found.next_cursor is None else asked.address(before=found.next_cursor),
        newest=asked.address() if before else None,
        empty=is_plain and not rows,
        now=_now(rows, counts) if is_plain else None,
    )


def _count(counts: Mapping[JobStatus, int], statuses: Sequence[JobStatus]) -> int:
    return sum(number for status, number in counts.items() if not statuses or status in statuses)


def _now(rows: Sequence[JobRow], counts: Mapping[JobStatus, int]) -> tuple[str, str]:
    """Return what runs, and which of the jobs shown is the best."""
    return _working([row for row in rows if row.is_working], _count(counts, tuple(CLAIMED)), counts), _best(rows)


def _working(shown: Sequence[JobRow], working: int, counts: Mapping[JobStatus, int]) -> str:
    queued = counts[JobStatus.QUEUED]
    waiting = "" if not queued else f" {queued} wait{'s' if queued == 1 else ''} in the queue."
    if not working:
        return f"No job is running.{waiting}"
    if working > 1:
        return f"{working} jobs are running.{waiting}"
    left = next((row.eta_seconds for row in shown if row.eta_seconds is not None), None)
    words_left = "" if left is None else f", about {duration_in_words(left)} left"
    return f"One job is running{words_left}.{waiting}"


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
