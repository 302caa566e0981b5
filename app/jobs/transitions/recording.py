"""What a worker writes of the attempt that it runs."""

from typing import Any

from sqlalchemy import and_, case, func
from sqlmodel import Session, col, delete, select, update

from app.database import database_now
from app.finetune.dataset import JobWarning
from app.jobs import queries
from app.jobs.checkpoint_files import kinds_of
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
"""The newest state, and the one before it in case that one is damaged."""


def record_once(session: Session, claim: Claim, number: int) -> bool:
    """Whether the trainer's message `number`, counted from 1, is not in the rows yet; marks it as recorded."""
    write_claimed(session, claim)
    recorded = session.execute(
        update(Attempt)
        .where(
            col(Attempt.job_id) == claim.job_id,
            col(Attempt.number) == claim.attempt,
            col(Attempt.recorded_messages) < number,
        )
        .values(recorded_messages=number)
        .returning(col(Attempt.number))
        .execution_options(synchronize_session=False)
    )
    return recorded.one_or_none() is not None


def record_running(session: Session, claim: Claim, facts: dict[str, Any]) -> None:
    """The dataset is prepared and training begins: the job is `running`, unless it was asked to stop first."""
    if write_claimed(session, claim, facts=facts) is JobStatus.PREPARING:
        write_claimed(session, claim, status=JobStatus.RUNNING)
        append_event(session, claim.job_id, "status", {"status": JobStatus.RUNNING, "previous": JobStatus.PREPARING})
    append_event(session, claim.job_id, "prepared", facts)


def record_progress(
    session: Session,
    claim: Claim,
    *,
    progress: float,
    eta_seconds: float | None,
    stage: int | None,
    epoch: int | None,
    step: int | None = None,
    steps_done: int = 0,
) -> None:
    """Where the training is. Makes no event: a reader of events sees each epoch anyway."""
    write_claimed(session, claim, progress=progress, eta_seconds=eta_seconds, stage=stage, epoch=epoch, step=step)
    if stage is None:
        update_attempt(session, claim, heard_at=database_now())
    else:
        update_attempt(session, claim, heard_at=database_now(), steps_done=steps_done)


def record_prediction(
    session: Session,
    claim: Claim,
    *,
    seconds_spent: float,
    seconds_left: dict[str, float],
    stage1_epochs: int,
    stage2_epochs: int,
    stage2_epoch_seconds: float,
) -> None:
    """How long the whole training takes if it does not stop early: what was worked until now, and what the trainer says
    is left. It is kept; a second one is not heard.

    What was worked until now is by the rows, which know of earlier attempts, and never less than `seconds_spent`.
    """
    write_claimed(session, claim)
    job = queries.fresh(session, claim.job_id)
    if job.predicted is not None:
        return
    attempt = session.get_one(Attempt, (claim.job_id, claim.attempt))
    until_now = job.seconds_worked + max(clock(session) - attempt.started_at, seconds_spent)
    predicted = {name: round(until_now + seconds, 3) for name, seconds in seconds_left.items()} | {
        "stage1_epochs": stage1_epochs,
        "stage2_epochs": stage2_epochs,
        "stage2_epoch_seconds": round(stage2_epoch_seconds, 4),
        "told_after": round(until_now, 3),
    }
    record_event(session, claim, "predicted", predicted, predicted=predicted)


def record_epoch(session: Session, claim: Claim, epoch: dict[str, Any]) -> None:
    """The metrics of one epoch, by the field names of `EpochMetric`. A rolled-back epoch's are replaced. The job may be
    in a later epoch already."""
    later = and_(col(Job.stage) == epoch["stage"], col(Job.epoch) > epoch["epoch"])
    place = case((later, col(Job.epoch)), else_=epoch["epoch"])
    write_claimed(session, claim, stage=epoch["stage"], epoch=place)
    session.execute(
        delete(EpochMetric).where(
            col(EpochMetric.job_id) == claim.job_id,
            col(EpochMetric.stage) == epoch["stage"],
            col(EpochMetric.epoch) == epoch["epoch"],
        )
    )
    session.add(EpochMetric(job_id=claim.job_id, attempt=claim.attempt, created_at=clock(session), **epoch))
    append_event(session, claim.job_id, "epoch", epoch)


def record_checkpoint(session: Session, claim: Claim, checkpoint: dict[str, Any]) -> None:
    """A new best checkpoint: `epoch`, `score` and its files `full` and `backbone`, which are whole on the disk. Of a
    DSR network, `stage` 0, there is no `backbone`."""
    write_claimed(session, claim, checkpoint=checkpoint)
    stage = checkpoint.get("stage", 2)
    for kind in kinds_of(checkpoint):
        _add_artifact(session, claim, kind=kind, stage=stage, epoch=checkpoint["epoch"], **checkpoint[kind])
    append_event(session, claim.job_id, "checkpoint", checkpoint)


def record_state(session: Session, claim: Claim, point: dict[str, Any]) -> list[str]:
    """A saved state, by the fields of `ResumePoint` but for `attempt` and `saved_at`; its file is whole on the disk.

    Returns the keys of the states that it supersedes: delete those files after the commit. A training that has got
    further than any attempt before it has its losses forgiven.
    """
    saved = ResumePoint.model_validate(point | {"attempt": claim.attempt, "saved_at": clock(session)})
    points = queries.resume_points(session, claim.job_id)
    earlier = [each for each in points if each.state.key != saved.state.key]
    further = saved.steps_done > _steps_reached_before(session, claim)
    write_claimed(session, claim, **({"worker_losses": 0} if further else {}))
    _add_artifact(
        session,
        claim,
        kind="state",
        stage=saved.stage,
        epoch=saved.epoch,
        resume_point=saved.model_dump(),
        **saved.state.model_dump(),
    )
    # The training may be some steps further already.
    steps_done = case((col(Attempt.steps_done) > saved.steps_done, col(Attempt.steps_done)), else_=saved.steps_done)
    update_attempt(session, claim, heard_at=database_now(), steps_done=steps_done)
    superseded = [each.state.key for each in earlier[STATES_KEPT - 1 :]]
    forget_artifacts(session, superseded)
    return superseded


def record_evaluation(session: Session, claim: Claim, *, epoch: int, files: dict[str, dict[str, Any]]) -> None:
    """The files `evaluation` (JSON) and `report` (HTML) of the checkpoint of this stage 2 epoch, whole on the disk."""
    write_claimed(session, claim)
    for kind, file in files.items():
        _add_artifact(session, claim, kind=kind, stage=2, epoch=epoch, **file)


def record_warning(session: Session, claim: Claim, warning: JobWarning) -> None:
    """A warning on the job; one that it has already is not repeated."""
    write_claimed(session, claim)
    add_warning(session, claim.job_id, warning)


def record_event(session: Session, claim: Claim, kind: str, data: dict[str, Any], **columns: object) -> None:
    """An event, and with it the columns of the job that it changes."""
    write_claimed(session, claim, **columns)
    append_event(session, claim.job_id, kind, data)


def _add_artifact(session: Session, claim: Claim, **columns: Any) -> None:
    """A file that is written again under its name stays pinned."""
    there = session.get(Artifact, columns["key"])
    newest = select(func.max(Artifact.sequence)).where(Artifact.job_id == claim.job_id)
    session.merge(
        Artifact(
            job_id=claim.job_id,
            attempt=claim.attempt,
            created_at=clock(session),
            sequence=1 + (session.execute(newest).scalar_one() or 0),
            pinned=there is not None and there.pinned,
            **columns,
        )
    )


def _steps_reached_before(session: Session, claim: Claim) -> int:
    """The steps that earlier attempts got to, saved or not, since a person last had the job retried."""
    reached = 0
    for attempt in reversed(queries.attempts(session, claim.job_id)):
        if attempt.outcome in TERMINAL:
            break
        if attempt.number < claim.attempt:
            reached = max(reached, attempt.steps_done)
    return reached
