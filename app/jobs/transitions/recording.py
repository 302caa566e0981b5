"""The writes of a worker that runs an attempt."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from sqlalchemy import and_, case, func
from sqlmodel import Session, col, delete, select, update

from app.api_models.durations import PredictedView
from app.api_models.events import StatusChanged
from app.database import database_now
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.dataset import JobWarning
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.event_data import EventData, as_json
from app.finetune.events import (
    DatasetCheckStarted,
    DatasetImportStarted,
    DurationPredicted,
    EvaluationStarted,
    ModelExported,
    ModelExportStarted,
    PhaseStarted,
    Prepared,
    Progressed,
    StateSaved,
)
from app.jobs import queries
from app.jobs.resume import ResumePoint
from app.jobs.states import TERMINAL, JobStatus
from app.jobs.tables import Artifact, Attempt, EpochMetric, Job
from app.jobs.transitions.fence import (
    Claim,
    add_warning,
    append_event,
    clock,
    forget_artifacts,
    update_attempt,
    write_claimed,
)

STATES_KEPT = 2
"""The newest state, and the previous one in case the newest is damaged."""


def record_once(session: Session, claim: Claim, number: int) -> bool:
    """Mark the trainer's message `number`, counted from 1, as recorded, and the trainer as heard now. Return whether it
    was not yet recorded."""
    write_claimed(session, claim)
    recorded = session.execute(
        update(Attempt)
        .where(
            col(Attempt.job_id) == claim.job_id,
            col(Attempt.number) == claim.attempt,
            col(Attempt.recorded_messages) < number,
        )
        .values(recorded_messages=number, heard_at=database_now())
        .returning(col(Attempt.number))
        .execution_options(synchronize_session=False)
    )
    return recorded.one_or_none() is not None


def record_running(
    session: Session,
    claim: Claim,
    prepared: Prepared | EvaluationStarted | DatasetCheckStarted | DatasetImportStarted | ModelExportStarted,
) -> None:
    """Set the job to `running` after preparation, unless a cancel or a pause was requested before."""
    if write_claimed(session, claim, facts=as_json(prepared)) is JobStatus.PREPARING:
        write_claimed(session, claim, status=JobStatus.RUNNING)
        changed = StatusChanged(status=JobStatus.RUNNING, previous=JobStatus.PREPARING)
        append_event(session, claim.job_id, changed)
    append_event(session, claim.job_id, prepared)


def record_progress(session: Session, claim: Claim, progressed: Progressed) -> None:
    """Write the position of the training. Appends no event: each epoch appends one."""
    columns = asdict(progressed)
    steps_done = columns.pop("steps_done")
    if progressed.phase is None:
        del columns["phase"], columns["phase_progress"]
    write_claimed(session, claim, **columns)
    if progressed.stage is None:
        update_attempt(session, claim, heard_at=database_now())
    else:
        update_attempt(session, claim, heard_at=database_now(), steps_done=steps_done)


def record_prediction(session: Session, claim: Claim, prediction: DurationPredicted) -> None:
    """Write the predicted duration of the whole training without early stopping. The first prediction of a job stays;
    later ones are ignored.

    The seconds worked until now come from the rows, which include earlier attempts. They are at least
    `prediction.seconds_spent`.
    """
    write_claimed(session, claim)
    job = queries.fresh(session, claim.job_id)
    if job.predicted is not None:
        return
    attempt = session.get_one(Attempt, (claim.job_id, claim.attempt))
    until_now = job.seconds_worked + max(clock(session) - attempt.started_at, prediction.seconds_spent)
    seconds = asdict(prediction.seconds_left)
    predicted = PredictedView(
        **{name: round(until_now + left, 3) for name, left in seconds.items()},
        stage1_epochs=prediction.stage1_epochs,
        stage2_epochs=prediction.stage2_epochs,
        stage2_epoch_seconds=round(prediction.stage2_epoch_seconds, 4),
        predicted_after=round(until_now, 3),
        can_stop_early=prediction.can_stop_early,
    )
    record_event(session, claim, predicted, predicted=as_json(predicted))


def record_epoch(session: Session, claim: Claim, epoch: EpochMetrics) -> None:
    """Write the metrics of one epoch in place of those that it had before a rollback. The job can be in a later epoch
    already."""
    later = and_(col(Job.stage) == epoch.stage, col(Job.epoch) > epoch.epoch)
    write_claimed(session, claim, stage=epoch.stage, epoch=case((later, col(Job.epoch)), else_=epoch.epoch))
    session.execute(
        delete(EpochMetric).where(
            col(EpochMetric.job_id) == claim.job_id,
            col(EpochMetric.stage) == epoch.stage,
            col(EpochMetric.epoch) == epoch.epoch,
        )
    )
    # Only the fields that the trainer set: a fine-tuning's event has no metrics of a DSR network.
    metrics = as_json(epoch)
    session.add(EpochMetric(job_id=claim.job_id, attempt=claim.attempt, created_at=clock(session), **metrics))
    append_event(session, claim.job_id, epoch)


def record_checkpoint(session: Session, claim: Claim, checkpoint: Checkpoint) -> None:
    """Write a new best checkpoint, whose files are whole on the disk. Their paths are relative to the artifacts'
    root."""
    write_claimed(session, claim, checkpoint=checkpoint)
    for kind, file in checkpoint.by_format.items():
        _add_artifact(session, claim, file, kind=kind, stage=checkpoint.stage, epoch=checkpoint.epoch)
    append_event(session, claim.job_id, checkpoint)


def record_state(session: Session, claim: Claim, saved: StateSaved) -> list[str]:
    """Write a saved state, whose file is whole on the disk. Paths are relative to the artifacts' root.

    Returns the keys of the states that it supersedes: delete those files after the commit. A training that got further
    than any attempt before has its losses forgiven.
    """
    point = ResumePoint(
        attempt=claim.attempt,
        stage=saved.stage,
        epoch=saved.epoch,
        step=saved.step,
        steps_done=saved.steps_done,
        progress=saved.progress,
        saved_at=clock(session),
        state=saved.file,
        checkpoint=saved.best,
    )
    points = queries.resume_points(session, claim.job_id)
    earlier = [each for each in points if each.state.key != saved.file.key]
    further = saved.steps_done > _steps_reached_before(session, claim)
    write_claimed(session, claim, **({"worker_losses": 0} if further else {}))
    _add_artifact(session, claim, saved.file, kind="state", stage=saved.stage, epoch=saved.epoch, resume_point=point)
    # The training can be some steps further already.
    steps_done = case((col(Attempt.steps_done) > saved.steps_done, col(Attempt.steps_done)), else_=saved.steps_done)
    update_attempt(session, claim, heard_at=database_now(), steps_done=steps_done)
    superseded = [each.state.key for each in earlier[STATES_KEPT - 1 :]]
    forget_artifacts(session, superseded)
    return superseded


def record_evaluation(session: Session, claim: Claim, *, epoch: int, files: Mapping[str, WrittenFile]) -> None:
    """Write the files `evaluation` (JSON) and `report` (HTML) of the checkpoint of this epoch of stage 2. They are
    whole on the disk; their paths are relative to the artifacts' root."""
    write_claimed(session, claim)
    for kind, file in files.items():
        _add_artifact(session, claim, file, kind=kind, stage=2, epoch=epoch)


def record_export(session: Session, claim: Claim, exported: ModelExported, *, epoch: int) -> None:
    """Write the ONNX file of the checkpoint of this epoch of stage 2; 0 for that of weights. It is whole on the disk;
    its path is relative to the artifacts' root."""
    record_event(session, claim, exported)
    _add_artifact(session, claim, exported.file, kind="onnx", stage=2 if epoch else 0, epoch=epoch)


def record_warning(session: Session, claim: Claim, warning: JobWarning) -> None:
    """Add a warning to the job, unless it has the same one already."""
    write_claimed(session, claim)
    add_warning(session, claim.job_id, warning)


def record_phase(session: Session, claim: Claim, started: PhaseStarted) -> None:
    """Write that a phase begins."""
    record_event(session, claim, started, phase=started.phase, phase_progress=0.0)


def record_event(session: Session, claim: Claim, data: EventData, **columns: object) -> None:
    """Append an event and change columns of the job with it."""
    write_claimed(session, claim, **columns)
    append_event(session, claim.job_id, data)


def _add_artifact(session: Session, claim: Claim, file: WrittenFile, **columns: Any) -> None:
    """Add the row of a file. A file rewritten under its name stays pinned."""
    there = session.get(Artifact, file.key)
    newest = select(func.max(Artifact.sequence)).where(Artifact.job_id == claim.job_id)
    session.merge(
        Artifact(
            key=file.key,
            size=file.size,
            sha256=file.sha256,
            job_id=claim.job_id,
            attempt=claim.attempt,
            created_at=clock(session),
            sequence=1 + (session.execute(newest).scalar_one() or 0),
            pinned=there is not None and there.pinned,
            **columns,
        )
    )


def _steps_reached_before(session: Session, claim: Claim) -> int:
    """Return the steps that earlier attempts reached, saved or not, since the last retry by a user."""
    reached = 0
    for attempt in reversed(queries.attempts(session, claim.job_id)):
        if attempt.outcome in TERMINAL:
            break
        if attempt.number < claim.attempt:
            reached = max(reached, attempt.steps_done)
    return reached
