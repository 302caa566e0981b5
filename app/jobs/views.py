"""Views of jobs, built from their rows, the queue and the workers."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlmodel import Session

from app.api_models.dry_run import EstimateView
from app.api_models.events import EVENT, EventView
from app.api_models.job import JobView
from app.api_models.logs import LogLine
from app.api_models.metrics import RecognitionChange
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.errors import ErrorReport
from app.finetune.job_dataset import JobDataset
from app.finetune.job_kinds import Kind, kind_of
from app.finetune.job_warning import JobWarning
from app.jobs import queries
from app.jobs.attempt_views import view_attempt, view_resume_point
from app.jobs.beside import RowsBeside, rows_beside
from app.jobs.durations import view_actual, view_predicted
from app.jobs.file_views import view_checkpoint, view_files
from app.jobs.states import JobStatus
from app.jobs.tables import EpochMetric, Job, JobEvent, JobLogLine
from app.jobs.waiting import waiting_for

_LINKS = (
    "metrics",
    "events",
    "logs",
    "attempts",
    "checkpoint",
    "report",
    "evaluation",
    "pin",
    "cancel",
    "pause",
    "resume",
    "retry",
)


def view_job(session: Session, job: Job, worker_seen_seconds: float) -> JobView:
    return view_jobs(session, [job], worker_seen_seconds)[0]


def view_jobs(session: Session, jobs: Sequence[Job], worker_seen_seconds: float) -> list[JobView]:
    return [
        _view(session, job, beside, worker_seen_seconds)
        for job, beside in zip(jobs, rows_beside(session, jobs), strict=True)
    ]


def _view(session: Session, job: Job, beside: RowsBeside, worker_seen_seconds: float) -> JobView:
    status, kind = JobStatus(job.status), kind_of(job.kind)
    latest, best, files, newest = beside.latest, beside.best, beside.files, beside.newest
    predicted = view_predicted(job, latest)
    path = f"/jobs/{job.id}"
    return JobView(
        id=job.id,
        kind=kind.name,
        owner=job.owner,
        shared=job.shared,
        name=job.name,
        tags=job.tags,
        notes=job.notes,
        sweep=job.sweep,
        status=status,
        terminal=status.terminal,
        stage=job.stage,
        epoch=job.epoch,
        step=job.step,
        phase=job.phase,
        phase_progress=job.phase_progress,
        progress=job.progress,
        eta_seconds=job.eta_seconds,
        predicted=predicted,
        actual=view_actual(job, newest, predicted),
        estimate=None if job.measured is None else EstimateView.model_validate(job.measured),
        priority=job.priority,
        queue_position=queries.queue_position(session, job) if status is JobStatus.QUEUED else None,
        waiting_for=waiting_for(session, job, worker_seen_seconds),
        retry_at=_maybe_moment(job.retry_at),
        latest=None if latest is None else view_epoch(latest),
        best=None if best is None else view_epoch(best),
        recognition=RecognitionChange.model_validate(
            {"before": job.recognition_before, "after": job.recognition_after, "verdict": job.verdict}
        ),
        checkpoint=view_checkpoint(job, path),
        files=view_files(job, files, path),
        files_size=sum(file.size for file in files),
        error=None if job.error is None else ErrorReport.model_validate(job.error),
        warnings=[JobWarning.model_validate(warning) for warning in job.warnings],
        config=kind.decode(job.config),
        datasets=[JobDataset.model_validate(each) for each in job.datasets or []],
        facts=job.facts,
        attempt=job.attempt,
        worker_losses=job.worker_losses,
        resume_point=view_resume_point(files),
        resume_receipt=None if newest is None else view_attempt(newest).receipt,
        gpu=None if newest is None else newest.gpu,
        created_at=_moment(job.created_at),
        started_at=_maybe_moment(job.started_at),
        finished_at=_maybe_moment(job.finished_at),
        links={"self": path} | {name: f"{path}/{name}" for name in _LINKS if name not in _links_without_use(kind)},
    )


def _links_without_use(kind: Kind) -> set[str]:
    """Return the links that jobs of the kind never have."""
    return (set() if kind.checkpoint else {"checkpoint", "pin"}) | (
        set() if kind.evaluated else {"report", "evaluation"}
    )


def view_epoch(metric: EpochMetric) -> EpochMetrics:
    return EpochMetrics.model_validate(metric.model_dump())


def view_event(event: JobEvent) -> EventView:
    content = event.model_dump(include={"number", "kind", "attempt", "data"})
    return EVENT.validate_python(content | {"at": _moment(event.created_at)})


def view_log_line(line: JobLogLine) -> LogLine:
    content = line.model_dump(include={"number", "attempt", "level", "text"})
    return LogLine.model_validate(content | {"at": _moment(line.created_at)})


def _maybe_moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
