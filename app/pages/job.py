"""The page of one job."""

import json
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import Session

from app.access.scopes import Scope
from app.api_models.job import JobView
from app.finetune.artifact_names import FORMATS, STATE
from app.finetune.evaluation import Evaluation
from app.finetune.job_kinds import DSR_TRAINING, FINETUNING, kind_of
from app.guard.gate import CallerDep
from app.jobs import listing, queries
from app.jobs.job_log import last_lines
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.views import view_epoch, view_job
from app.pages import words
from app.pages.config_rows import config_rows
from app.pages.curves import charts_of, curves_of
from app.pages.event_words import event_words
from app.pages.forest import Row, difference_forests, forests
from app.pages.job_rows import dataset_of, status_word, title_of
from app.pages.layout import look_at_layout
from app.pages.loading_code import loading_code
from app.pages.now import sentence_of
from app.pages.phase_bar import phases_of
from app.pages.rates import rate_rows
from app.pages.render import PageRoute, render_page
from app.pages.results import Result, read_evaluation
from app.routes.dependencies import ReadingSessionDep, Service, ServiceDep

EVENTS_SHOWN = 300
LINES_SHOWN = 200

router = APIRouter(include_in_schema=False, route_class=PageRoute)


@dataclass(frozen=True)
class Actions:
    """What the caller may do with the job now."""

    pause: bool = False
    cancel: bool = False
    resume: bool = False
    retry: bool = False
    pin: bool = False
    unpin: bool = False


@router.get("/ui/jobs/{job_id}")
def show_job(
    job_id: str, request: Request, session: ReadingSessionDep, service: ServiceDep, caller: CallerDep
) -> Response:
    """Show a job of any kind, running or ended. The page renews itself at the job's events."""
    row = queries.get(session, job_id)
    may_change = caller.may(Scope.SUBMIT) and caller.may_change(row.owner)
    job = view_job(session, row, service.settings.worker_seen_seconds)
    return render_page(
        request,
        "job.html.jinja",
        look_at_layout(session, service, caller, request),
        job=job,
        title=title_of(row),
        status_word=status_word(row),
        about=dataset_of(row.config),
        facts=row.facts or {},
        vlr_size=row.config.get("vlr_size"),
        kind_word=words.KINDS.get(job.kind, job.kind),
        is_finetuning=job.kind == FINETUNING,
        may_change=may_change,
        actions=_actions(job) if may_change else Actions(),
        variants=_file_names(job),
        formats=FORMATS,
        state_kind=STATE,
        code=_code(job, row),
        **_live(session, service, job, row),
    )


def _live(session: Session, service: Service, job: JobView, row: Job) -> dict[str, Any]:
    """Return the values that change while the job runs."""
    epochs = [view_epoch(metric) for metric in queries.metrics(session, row)]
    events = queries.events_after(session, row.id, max(0, row.event_count - 1000))
    charts = charts_of(epochs, trains=job.kind in (FINETUNING, DSR_TRAINING))
    file = listing.evaluations_of(session, [row.id]).get(row.id) if job.status is JobStatus.SUCCEEDED else None
    evaluation = read_evaluation(service.artifacts, file)
    result = _result(evaluation)
    rows, rates = config_rows(job.config), rate_rows(evaluation, job.recognition)
    return {
        "now": sentence_of(job, result, next((each.after for each in rates if each.term == "tar"), None)),
        "phases": phases_of(job, events),
        "charts": charts,
        "curves": json.dumps(curves_of(job, epochs, charts), separators=(",", ":")),
        "epochs": epochs,
        "events": [(event.number, event.created_at, event_words(event)) for event in events[-EVENTS_SHOWN:]],
        "log": last_lines(session, row.id, LINES_SHOWN),
        "event_count": row.event_count,
        "evaluation": evaluation,
        "hero": _hero(result),
        "rates": rates,
        "measured_word": "Before" if evaluation is None and job.recognition.after is None else "Measured",
        "verdicts": words.VERDICTS,
        "config": rows,
        "changed": [each for each in rows if each.changed],
    }


def _result(evaluation: Evaluation | None) -> Result | None:
    return None if evaluation is None else Result.model_validate(evaluation, from_attributes=True)


def _hero(result: Result | None) -> dict[str, Any] | None:
    """Return the change that the page opens with, and its drawings; None without a measured one."""
    change = None if result is None else result.change
    if change is None or change.baseline.value is None or change.achieved.value is None:
        return None
    return {
        "change": change,
        "rates": forests([Row("Before", 0, change.baseline), Row("After", 1, change.achieved)], label_width=52),
        "difference": difference_forests([Row("Difference", 1, change.difference)], label_width=68),
    }


def _actions(job: JobView) -> Actions:
    pinned = any(file.pinned for file in job.files)
    has_checkpoint = job.checkpoint is not None
    return Actions(
        pause=job.status in (JobStatus.QUEUED, JobStatus.PREPARING, JobStatus.RUNNING),
        cancel=not job.terminal and job.status is not JobStatus.CANCELLING,
        resume=job.status is JobStatus.PAUSED,
        retry=job.status in (JobStatus.FAILED, JobStatus.CANCELLED),
        pin=has_checkpoint and not pinned,
        unpin=pinned,
    )


def _file_names(job: JobView) -> dict[str, str]:
    """The file names of the job's formats: a DSR network has its own."""
    names = {name: each.file_name for name, each in FORMATS.items()}
    return names | (dict(kind_of(DSR_TRAINING).checkpoint) if job.kind == DSR_TRAINING else {})


def _code(job: JobView, row: Job) -> str | None:
    if job.kind != FINETUNING or job.checkpoint is None:
        return None
    return loading_code(str((row.facts or {}).get("variant", "")), FORMATS["full"].file_name)
