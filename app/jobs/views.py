"""A job as a person sees it: built from its row, what the queue and the workers say, and nothing else."""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field
from sqlmodel import Session

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ErrorReport
from app.finetune.evaluation_config import EvaluationConfig
from app.jobs import queries
from app.jobs.attempt_views import ResumePointView, view_attempt, view_resume_point
from app.jobs.configs import config_of
from app.jobs.durations import ActualView, PredictedView, view_actual, view_predicted
from app.jobs.file_views import CheckpointView, KeptFile, view_checkpoint, view_files
from app.jobs.measurement import MeasuredView, view_measured
from app.jobs.resume import ResumeReceipt
from app.jobs.states import JobStatus
from app.jobs.tables import DSR_TRAINING, EVALUATION, MEASUREMENT, Attempt, EpochMetric, Job, JobEvent, JobKind
from app.jobs.waiting import waiting_for

_LINKS = (
    "metrics",
    "events",
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
_LINKS_WITHOUT_USE: dict[str, set[str]] = {
    MEASUREMENT: {"checkpoint", "pin", "report", "evaluation"},
    EVALUATION: {"checkpoint", "pin"},
    DSR_TRAINING: {"report", "evaluation"},
}
"""What jobs of a kind never have."""


class EpochView(BaseModel):
    """One epoch. Accuracies 0..1, measured without the ArcFace margin; val metrics null where not validated. What only
    a DSR network or only a fine-tuning has is null in the other."""

    stage: Literal[0, 1, 2] = Field(description="0: a DSR network. 1: the ArcFace head. 2: backbone and head.")
    epoch: int = Field(description="Counts from 1 in each stage.")
    epochs: int = Field(description="Epochs planned in this stage.")
    train_loss: float = Field(description="Of a DSR network the weighted sum of its three parts.")
    train_accuracy: float | None
    val_loss: float | None
    val_accuracy: float | None = Field(description="null where no val subject is in train.")
    val_auc: float | None = Field(description="Verification AUC of VLR probes against the HR gallery of val.")
    val_genuine_similarity: float | None = Field(
        description="Mean cosine between val images of the same subject, -1..1."
    )
    val_impostor_similarity: float | None = Field(
        description="Mean cosine between val images of different subjects; rising towards the genuine one: collapse."
    )
    val_d_prime: float | None = Field(description="Distance between the two means, in standard deviations.")
    head_lr: float | None
    backbone_lr: float | None = Field(description="null in stage 1: the backbone is frozen.")
    seconds: float
    images_per_second: float
    best: bool = Field(description="Whether this epoch was the best so far when it ended.")
    train_pixel_loss: float | None = Field(description="Of a DSR network, unweighted, as the two that follow.")
    train_perceptual_loss: float | None
    train_identity_loss: float | None
    val_psnr: float | None = Field(description="Decibels, of val's enlarged faces against the HR ones.")
    val_ssim: float | None = Field(description="-1..1, likewise.")
    val_identity: float | None = Field(
        description="Mean cosine between the embeddings of an enlarged face and of its HR image, -1..1."
    )
    dsr_lr: float | None


class RecognitionView(BaseModel):
    """VLR probes against the HR gallery of val, all pairs but each image with itself. Rates 0..1. Of a DSR training the
    probes of all its sizes together, by the frozen EdgeFace."""

    auc: float | None
    rank1: float | None = Field(description="One HR gallery image per subject, averaged over the choices of it.")
    tar_at_far_1_percent: float | None
    tar_at_far_01_percent: float | None = Field(description="TAR at FAR 0.1%.")
    genuine_pairs: int
    impostor_pairs: int


class RecognitionChange(BaseModel):
    """Of a fine-tuning by the weights before and after; of a DSR training by bicubic enlargement and by the network."""

    before: RecognitionView | None
    after: RecognitionView | None
    verdict: str | None = Field(description="One sentence: did recognition get better?")


class JobView(BaseModel):
    id: str
    kind: JobKind = Field(
        description="`finetuning`; `measurement`: only finds out what one would take, by `dry_run=measure`; "
        "`evaluation`: of POST /evaluations. `dsr_training`: of POST /dsr-trainings."
    )
    status: JobStatus
    terminal: bool = Field(description="Whether the status is final, unless a person retries the job.")
    stage: int | None = Field(description="0: DSR network. 1: head only. 2: backbone and head. null before training.")
    epoch: int | None
    step: int | None = Field(description="Optimizer steps of the epoch that are done.")
    progress: float = Field(description="0..1 over the whole job.")
    eta_seconds: float | None = Field(description="Seconds left; null until the pace of stage 2 is steady.")
    predicted: PredictedView | None = Field(description="How long it takes; null until the first steps are made.")
    actual: ActualView | None = Field(description="How long it took, or has taken so far; null before a worker has it.")
    measured: MeasuredView | None = Field(description="What a measurement found out; null of trainings.")
    priority: int = Field(description="Higher is run first.")
    queue_position: int | None = Field(description="1 is next; null unless queued.")
    waiting_for: str | None = Field(description="What a job that does not run and has not ended waits for, in words.")
    retry_at: datetime | None = Field(description="A queued job that lost a worker is not tried again before this.")
    latest: EpochView | None
    best: EpochView | None
    recognition: RecognitionChange
    checkpoint: CheckpointView | None
    files: list[KeptFile] = Field(description="Every file kept of this job, the oldest first.")
    files_size: int = Field(description="Bytes of all of them.")
    error: ErrorReport | None
    warnings: list[JobWarning]
    config: FinetuneConfig | EvaluationConfig | DsrTrainingConfig = Field(
        description="As resolved: every field with its value."
    )
    facts: dict[str, Any] | None = Field(
        description="What the worker found: variant, enlargement, resampler, device, precision, images, subjects."
    )
    attempt: int = Field(description="How often a worker has claimed the job so far.")
    worker_losses: int = Field(description="Workers and trainers lost since the training last got further.")
    resume_point: ResumePointView | None = Field(description="What survives if everything stops now; null: nothing.")
    resume_receipt: ResumeReceipt | None = Field(
        description="What the newest attempt went on from, and what was lost; null for the first."
    )
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
    terminal: bool = Field(description="Whether the job has ended: no event follows, unless a person retries it.")


def view_job(session: Session, job: Job, worker_seen_seconds: float) -> JobView:
    status = JobStatus(job.status)
    latest, best = queries.latest_metric(session, job), queries.best_metric(session, job)
    files = queries.artifacts(session, job.id)
    newest = session.get(Attempt, (job.id, job.attempt))
    predicted = view_predicted(job, latest)
    path = f"/jobs/{job.id}"
    return JobView(
        id=job.id,
        kind=job.kind,
        status=status,
        terminal=status.terminal,
        stage=job.stage,
        epoch=job.epoch,
        step=job.step,
        progress=job.progress,
        eta_seconds=job.eta_seconds,
        predicted=predicted,
        actual=view_actual(job, newest, predicted),
        measured=view_measured(job.measured),
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
        config=config_of(job.kind, job.config),
        facts=job.facts,
        attempt=job.attempt,
        worker_losses=job.worker_losses,
        resume_point=view_resume_point(files),
        resume_receipt=None if newest is None else view_attempt(newest).receipt,
        created_at=_moment(job.created_at),
        started_at=_maybe_moment(job.started_at),
        finished_at=_maybe_moment(job.finished_at),
        links={"self": path}
        | {name: f"{path}/{name}" for name in _LINKS if name not in _LINKS_WITHOUT_USE.get(job.kind, ())},
    )


def view_epoch(metric: EpochMetric) -> EpochView:
    return EpochView.model_validate(metric.model_dump())


def view_event(event: JobEvent) -> EventView:
    return EventView(
        number=event.number, kind=event.kind, attempt=event.attempt, at=_moment(event.created_at), data=event.data
    )


def _maybe_moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
