"""The rows of the list of jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from app.artifacts import Artifacts
from app.finetune.errors import shortened
from app.finetune.evaluation import Change
from app.finetune.job_kinds import EVALUATION, FINETUNING, kind_of
from app.finetune.phases import PHASES
from app.jobs import listing
from app.jobs.states import CLAIMED, JobStatus
from app.jobs.tables import Job
from app.jobs.waiting import waiting_for
from app.pages import words
from app.pages.formats import duration, short_id
from app.pages.results import Result, read_result
from app.pages.sparkline import Sparkline, sparkline

_TRAINING = ("stage_0", "stage_1", "stage_2")


@dataclass(frozen=True)
class JobRow:
    """One job as the list shows it. `place` says in a few words where it is, or why it waits or failed."""

    id: str
    name: str
    tags: list[str]
    what: str
    status: JobStatus
    status_word: str
    is_working: bool
    progress: float
    place: str | None
    spark: Sparkline | None
    change: Change | None
    created_at: float
    owner: str
    eta_seconds: float | None


def job_rows(session: Session, artifacts: Artifacts, jobs: Sequence[Job], worker_seen_seconds: float) -> list[JobRow]:
    """Return a row for each job, by a few queries for all of them."""
    ids = [job.id for job in jobs]
    scores, files = listing.scores_of(session, ids), listing.evaluations_of(session, ids)
    return [
        _row(
            job,
            _place(session, job, worker_seen_seconds),
            sparkline(scores.get(job.id, []), (job.recognition_before or {}).get("auc")),
            read_result(artifacts, files.get(job.id)) if job.status == JobStatus.SUCCEEDED else None,
        )
        for job in jobs
    ]


def title_of(job: Job) -> str:
    """The name that its owner gave the job, else what it is about."""
    return job.name or dataset_of(job.config) or f"job {short_id(job.id)}"


def dataset_of(config: dict[str, Any]) -> str:
    """The dataset of a config, else the folder or the weights that it names; empty without any."""
    named = (config.get(field) for field in ("dataset", "name", "train_dir", "eval_dir", "edgeface"))
    return next((str(name) for name in named if name), "")


def status_word(job: Job) -> str:
    """The status in a word: what a running job does."""
    status = JobStatus(job.status)
    if status is not JobStatus.RUNNING:
        return words.STATUSES[status]
    if job.phase in _TRAINING:
        return "Training"
    return "Evaluating" if kind_of(job.kind).name == EVALUATION or job.phase == "evaluating" else "Running"


def planned_epochs(job: Job) -> int | None:
    """The epochs of the stage that the job is in."""
    field = {0: "epochs", 1: "stage1_epochs", 2: "stage2_epochs"}.get(-1 if job.stage is None else job.stage)
    planned = None if field is None else job.config.get(field)
    return planned if isinstance(planned, int) else None


def _row(job: Job, place: str | None, spark: Sparkline | None, result: Result | None) -> JobRow:
    status = JobStatus(job.status)
    return JobRow(
        id=job.id,
        name=title_of(job),
        tags=job.tags,
        what=" · ".join(filter(None, (dataset_of(job.config), _kind_words(job)))),
        status=status,
        status_word=status_word(job),
        is_working=status in CLAIMED,
        progress=job.progress,
        place=place,
        spark=spark,
        change=None if result is None else result.change,
        created_at=job.created_at,
        owner=job.owner,
        eta_seconds=job.eta_seconds,
    )


def _kind_words(job: Job) -> str:
    kind = kind_of(job.kind).name
    return str(job.config.get("recipe", "guide")) if kind == FINETUNING else words.KINDS.get(kind, kind)


def _place(session: Session, job: Job, worker_seen_seconds: float) -> str | None:
    match JobStatus(job.status):
        case JobStatus.QUEUED:
            return f"waits for {waiting_for(session, job, worker_seen_seconds)}"
        case JobStatus.PAUSED:
            return f"goes on from {job.progress:.0%}"
        case JobStatus.PAUSING:
            return "saving its state"
        case JobStatus.FAILED:
            return None if job.error is None else shortened(str(job.error.get("message", "")), 70)
        case JobStatus.PREPARING | JobStatus.RUNNING:
            return _working_place(job)
    return None


def _working_place(job: Job) -> str:
    left = "" if job.eta_seconds is None else f", {duration(job.eta_seconds)} left"
    if job.phase in _TRAINING and job.stage is not None:
        planned = planned_epochs(job)
        epoch = "" if job.epoch is None else f", epoch {job.epoch}" + (f" of {planned}" if planned else "")
        return (f"stage {job.stage}" if job.stage else "DSR") + epoch + left
    known = next((words.PHASES[phase] for phase in PHASES if phase == job.phase), "Starting")
    return known[0].lower() + known[1:] + left
