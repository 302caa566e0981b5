"""A job as a person sees it: built from its row, what the queue and the workers say, and nothing else."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlmodel import Session

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.errors import ErrorReport
from app.jobs import store
from app.jobs.states import JobStatus
from app.jobs.tables import EpochMetric, Job, JobEvent


class EpochView(BaseModel):
    """One epoch. Accuracies 0..1, measured without the ArcFace margin; val metrics null where not validated."""

    stage: Literal[1, 2]
    epoch: int = Field(description="Counts from 1 in each stage.")
    epochs: int = Field(description="Epochs planned in this stage.")
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None = Field(description="null where no val subject is in train.")
    val_auc: float | None = Field(description="Verification AUC of VLR probes against the HR gallery of val.")
    head_lr: float
    backbone_lr: float | None = Field(description="null in stage 1: the backbone is frozen.")
    seconds: float
    images_per_second: float
    best: bool = Field(description="Whether this epoch was the best so far when it ended.")


class RecognitionView(BaseModel):
    """VLR probes against the HR gallery of val, all pairs but each image with itself. Rates 0..1."""

    auc: float | None
    rank1: float | None = Field(description="One HR gallery image per subject, averaged over the choices of it.")
    tar_at_far_1_percent: float | None
    tar_at_far_01_percent: float | None = Field(description="TAR at FAR 0.1%.")
    genuine_pairs: int
    impostor_pairs: int


class RecognitionChange(BaseModel):
    before: RecognitionView | None
    after: RecognitionView | None
    verdict: str | None = Field(description="One sentence: did recognition get better?")


class FileView(BaseModel):
    url: str
    size: int = Field(description="Bytes.")
    sha256: str


class CheckpointView(BaseModel):
    """The best epoch so far; of a succeeded job, the result."""

    epoch: int = Field(description="Epoch of stage 2.")
    score: float = Field(description="What the best epoch was chosen by: val accuracy, or verification AUC.")
    full: FileView = Field(description="edgeface_finetuned.pth: backbone, ArcFace head, subjects, config.")
    backbone: FileView = Field(description="The bare backbone state dict.")


class JobView(BaseModel):
    id: str
    status: JobStatus
    terminal: bool = Field(description="Whether the status is final.")
    stage: int | None = Field(description="1: head only. 2: backbone and head. null before training.")
    epoch: int | None
    progress: float = Field(description="0..1 over the whole job.")
    eta_seconds: float | None = Field(description="Seconds left; null until the pace of stage 2 is steady.")
    queue_position: int | None = Field(description="1 is next; null unless queued.")
    waiting_for: str | None = Field(description="What a queued job waits for, in words.")
    latest: EpochView | None
    best: EpochView | None
    recognition: RecognitionChange
    checkpoint: CheckpointView | None
    error: ErrorReport | None
    warnings: list[JobWarning]
    config: FinetuneConfig = Field(description="As resolved: every field with its value.")
    facts: dict[str, Any] | None = Field(
        description="What the worker found: variant, enlargement, resampler, device, precision, images, subjects."
    )
    attempt: int = Field(description="How many workers have claimed the job so far.")
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: dict[str, str]


class JobPage(BaseModel):
    jobs: list[JobView]
    next_cursor: str | None = Field(description="Give it as `cursor` for the next page; null on the last.")


class EventView(BaseModel):
    """Something that happened to the job. Numbers run from 1 without gaps."""

    number: int
    kind: str
    attempt: int
    at: datetime
    data: dict[str, Any]


class EventPage(BaseModel):
    events: list[EventView]
    next_cursor: int = Field(description="Give it as `after` to get what comes later.")
    terminal: bool = Field(description="Whether the job has ended: no event will follow.")


def view_job(session: Session, job: Job, worker_seen_seconds: float) -> JobView:
    status = JobStatus(job.status)
    epochs = [view_epoch(metric) for metric in store.metrics(session, job)]
    position = store.queue_position(session, job) if status is JobStatus.QUEUED else None
    path = f"/jobs/{job.id}"
    return JobView(
        id=job.id,
        status=status,
        terminal=status.terminal,
        stage=job.stage,
        epoch=job.epoch,
        progress=job.progress,
        eta_seconds=job.eta_seconds,
        queue_position=position,
        waiting_for=None if position is None else _waiting_for(session, position, worker_seen_seconds),
        latest=epochs[-1] if epochs else None,
        best=next((epoch for epoch in reversed(epochs) if epoch.best), None),
        recognition=RecognitionChange.model_validate(
            {"before": job.recognition_before, "after": job.recognition_after, "verdict": job.verdict}
        ),
        checkpoint=_view_checkpoint(job, path),
        error=None if job.error is None else ErrorReport.model_validate(job.error),
        warnings=[JobWarning.model_validate(warning) for warning in job.warnings],
        config=FinetuneConfig.model_validate(job.config),
        facts=job.facts,
        attempt=job.attempt,
        created_at=_moment(job.created_at),
        started_at=None if job.started_at is None else _moment(job.started_at),
        finished_at=None if job.finished_at is None else _moment(job.finished_at),
        links={"self": path} | {name: f"{path}/{name}" for name in ("metrics", "events", "checkpoint", "cancel")},
    )


def view_epoch(metric: EpochMetric) -> EpochView:
    return EpochView.model_validate(metric.model_dump())


def view_event(event: JobEvent) -> EventView:
    return EventView(
        number=event.number, kind=event.kind, attempt=event.attempt, at=_moment(event.created_at), data=event.data
    )


def _view_checkpoint(job: Job, path: str) -> CheckpointView | None:
    if job.checkpoint is None:
        return None
    files = {
        "full": FileView(url=f"{path}/checkpoint", **_size_and_hash(job.checkpoint["full"])),
        "backbone": FileView(url=f"{path}/checkpoint?format=backbone", **_size_and_hash(job.checkpoint["backbone"])),
    }
    return CheckpointView(epoch=job.checkpoint["epoch"], score=job.checkpoint["score"], **files)


def _size_and_hash(file: dict[str, Any]) -> dict[str, Any]:
    return {"size": file["size"], "sha256": file["sha256"]}


def _waiting_for(session: Session, position: int, worker_seen_seconds: float) -> str:
    seen = store.seconds_since_worker(session)
    if seen is None:
        return "no worker has ever reported: start one with edgeface-finetune worker"
    if seen > worker_seen_seconds:
        return f"no worker has reported for {seen:.0f} s: start one with edgeface-finetune worker"
    if position == 1:
        return "a worker to be free: this job is next"
    return (
        f"{position - 1} jobs that were submitted before it" if position > 2 else "the job that was submitted before it"
    )


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
