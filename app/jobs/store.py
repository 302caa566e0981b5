"""Every transition of a job, each one conditional UPDATE inside the caller's transaction.

A worker's writes carry its `Claim`: they change nothing and raise LeaseLost once another attempt has taken over, the
lease has run out or the job is in a final state. Each transition appends its event in the same transaction.
"""

import hashlib
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Update, and_, case, func, tuple_
from sqlmodel import Session, col, delete, select, update

from app.database import database_now
from app.finetune.dataset import TEST_FOLDER, VAL_FOLDER, JobWarning
from app.finetune.errors import ErrorReport
from app.jobs import queries
from app.jobs.checkpoint_files import checkpoint_files, kinds_of
from app.jobs.configs import ADDED_LATER, JobConfig
from app.jobs.durations import view_actual, view_predicted
from app.jobs.errors import (
    IdempotencyKeyReused,
    LeaseLost,
    NotPausable,
    NotPaused,
    NotRetryable,
    Poisoned,
    StatesGone,
    WorkerLost,
)
from app.jobs.made_weights import hold_named
from app.jobs.resume import ResumePoint, ResumeReceipt
from app.jobs.states import CLAIMED, RETRYABLE, TERMINAL, JobStatus
from app.jobs.tables import FINETUNING, Artifact, Attempt, EpochMetric, Job, JobEvent, JobKind, WorkerSeen

STATES_KEPT = 2
"""The newest state, and the one before it in case that one is damaged."""

LONGEST_BACKOFF_SECONDS = 300.0


@dataclass(frozen=True)
class Claim:
    """The right to run one attempt of a job, as long as the lease lasts. `attempt` is the fencing token."""

    job_id: str
    attempt: int
    worker_id: str


@dataclass(frozen=True)
class LossPolicy:
    """A job is failed at its loss number `max_losses` without progress; before that it is queued again after
    `backoff_seconds`, doubled with each further loss."""

    max_losses: int
    backoff_seconds: float = 0.0

    def backoff(self, losses: int) -> float:
        return float(min(LONGEST_BACKOFF_SECONDS, self.backoff_seconds * 2 ** min(losses - 1, 32)))


def clock(session: Session) -> float:
    """Seconds since 1970 by the database's clock."""
    return float(session.execute(select(database_now())).scalar_one())


def new_job_id() -> str:
    """Sorts by time (milliseconds) and cannot be guessed from another."""
    return f"{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


def submit(
    session: Session,
    config: JobConfig,
    warnings: Sequence[JobWarning],
    *,
    priority: int = 0,
    idempotency_key: str | None = None,
    kind: JobKind = FINETUNING,
) -> Job:
    """A new job, queued. Ring the bell after the commit.

    Raises IntegrityError at the commit, or before, where another job has the key: see `find_repeated`.
    """
    now = clock(session)
    job = Job(
        id=new_job_id(),
        kind=kind,
        config=config.model_dump(mode="json"),
        warnings=[warning.model_dump() for warning in warnings],
        priority=priority,
        idempotency_key=idempotency_key,
        request_digest=None if idempotency_key is None else _digest(config, priority, kind),
        created_at=now,
        queued_at=now,
    )
    session.add(job)
    session.flush()
    append_event(session, job.id, "status", {"status": JobStatus.QUEUED, "previous": None})
    for warning in warnings:
        append_event(session, job.id, "warning", warning.model_dump())
    session.refresh(job)
    return job


def find_repeated(
    session: Session, key: str, config: JobConfig, *, priority: int = 0, kind: JobKind = FINETUNING
) -> Job | None:
    """The job that the same request with this key made before. Raises IdempotencyKeyReused if it was another."""
    job = queries.by_idempotency_key(session, key)
    if job is not None and job.request_digest != _digest(config, priority, kind):
        raise IdempotencyKeyReused(key, job.id)
    return job


def claim(session: Session, job_id: str, worker_id: str, lease_seconds: float) -> Claim | None:
    """Take a queued job whose time has come, or None. Of two workers that ask at once, one gets it.

    Safe to repeat: a worker whose commit was not answered finds that it holds the job already.
    """
    claimed = session.execute(
        update(Job)
        .where(col(Job.id) == job_id, col(Job.status) == JobStatus.QUEUED, queries.is_due())
        .values(
            status=JobStatus.PREPARING,
            attempt=Job.attempt + 1,
            worker_id=worker_id,
            lease_expires_at=database_now() + lease_seconds,
            started_at=func.coalesce(Job.started_at, database_now()),
            retry_at=None,
            waiting_reason=None,
            stage=None,
            epoch=None,
            step=None,
            eta_seconds=None,
        )
        .returning(col(Job.attempt))
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if claimed is None:
        held = session.execute(
            select(Job.attempt).where(
                Job.id == job_id,
                Job.worker_id == worker_id,
                Job.status == JobStatus.PREPARING,
                col(Job.lease_expires_at) >= database_now(),
            )
        ).scalar_one_or_none()
        return None if held is None else Claim(job_id, held, worker_id)
    now = clock(session)
    session.add(Attempt(job_id=job_id, number=claimed, worker_id=worker_id, started_at=now, heard_at=now))
    append_event(
        session,
        job_id,
        "status",
        {"status": JobStatus.PREPARING, "previous": JobStatus.QUEUED, "worker": worker_id},
    )
    return Claim(job_id, claimed, worker_id)


def begin_attempt(session: Session, claim: Claim, point: ResumePoint | None) -> ResumeReceipt | None:
    """The claimed job goes on from `point`, whose files the caller has found whole, or from the start.

    What came after the point is cut: metrics, states, and checkpoints that nobody pinned. Returns the receipt, None
    for a job's first attempt. Safe to repeat.
    """
    _write_claimed(
        session,
        claim,
        progress=0.0 if point is None else point.progress,
        checkpoint=None if point is None else point.checkpoint,
    )
    begun = session.get_one(Attempt, (claim.job_id, claim.attempt))
    if begun.receipt is not None:
        return ResumeReceipt.model_validate(begun.receipt)
    _cut(session, claim.job_id, point)
    steps_done = 0 if point is None else point.steps_done
    receipt = None if claim.attempt == 1 else _write_receipt(session, claim, point, steps_done)
    told = None if receipt is None else receipt.model_dump()
    _update_attempt(session, claim, receipt=told, steps_done=steps_done)
    if told is not None:
        append_event(session, claim.job_id, "resumed", told)
    return receipt


def renew_lease(session: Session, claim: Claim, lease_seconds: float) -> JobStatus:
    """Keep the claim for another `lease_seconds`; the status tells whether a cancel or a pause was asked for."""
    return _write_claimed(session, claim, lease_expires_at=database_now() + lease_seconds)


def record_once(session: Session, claim: Claim, number: int) -> bool:
    """Whether the trainer's message `number`, counted from 1, is not in the rows yet; marks it as recorded."""
    _write_claimed(session, claim)
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
    if _write_claimed(session, claim, facts=facts) is JobStatus.PREPARING:
        _write_claimed(session, claim, status=JobStatus.RUNNING)
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
    _write_claimed(session, claim, progress=progress, eta_seconds=eta_seconds, stage=stage, epoch=epoch, step=step)
    if stage is None:
        _update_attempt(session, claim, heard_at=database_now())
    else:
        _update_attempt(session, claim, heard_at=database_now(), steps_done=steps_done)


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
    _write_claimed(session, claim)
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
    _write_claimed(session, claim, stage=epoch["stage"], epoch=place)
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
    _write_claimed(session, claim, checkpoint=checkpoint)
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
    _write_claimed(session, claim, **({"worker_losses": 0} if further else {}))
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
    _update_attempt(session, claim, heard_at=database_now(), steps_done=steps_done)
    superseded = [each.state.key for each in earlier[STATES_KEPT - 1 :]]
    forget_artifacts(session, superseded)
    return superseded


def record_evaluation(session: Session, claim: Claim, *, epoch: int, files: dict[str, dict[str, Any]]) -> None:
    """The files `evaluation` (JSON) and `report` (HTML) of the checkpoint of this stage 2 epoch, whole on the disk."""
    _write_claimed(session, claim)
    for kind, file in files.items():
        _add_artifact(session, claim, kind=kind, stage=2, epoch=epoch, **file)


def record_warning(session: Session, claim: Claim, warning: JobWarning) -> None:
    """A warning on the job; one that it has already is not repeated."""
    _write_claimed(session, claim)
    add_warning(session, claim.job_id, warning)


def add_warning(session: Session, job_id: str, warning: JobWarning) -> None:
    """A warning that no worker gives."""
    job = queries.locked(session, job_id)
    told = warning.model_dump()
    if told not in job.warnings:
        _update_job(session, job_id, warnings=[*job.warnings, told])
        append_event(session, job_id, "warning", told)


def record_event(session: Session, claim: Claim, kind: str, data: dict[str, Any], **columns: object) -> None:
    """An event, and with it the columns of the job that it changes."""
    _write_claimed(session, claim, **columns)
    append_event(session, claim.job_id, kind, data)


def finish(
    session: Session, claim: Claim, status: JobStatus, error: ErrorReport | None = None, **columns: object
) -> None:
    """Write the final state of the claimed job. One asked to cancel or pause may still succeed or fail: what happened
    counts."""
    _write_claimed(session, claim, **columns)
    _settle(session, claim.job_id, claim.attempt, status, error)


def hand_back(session: Session, claim: Claim, reason: str, *, retry_in: float = 0.0) -> JobStatus:
    """The worker gives the job up on purpose: it is queued again, or cancelled or paused if that was asked for. Spends
    no try. With `retry_in` nobody claims it for so many seconds, and `reason` is what it waits for."""
    current = _write_claimed(session, claim, **({"waiting_reason": reason} if retry_in else {}))
    return _release(session, claim, current, reason, retry_in)


def lose_trainer(session: Session, claim: Claim, lost: ErrorReport, policy: LossPolicy) -> JobStatus:
    """The trainer of a claimed job died or hung: the job is queued again after a while, or failed."""
    current = _write_claimed(session, claim, worker_losses=Job.worker_losses + 1)
    return _settle_loss(session, claim, current, lost, policy)


def expire_leases(session: Session, policy: LossPolicy) -> list[str]:
    """Move on every claimed job whose lease ran out. The ids of those that are queued again."""
    expired = session.execute(
        update(Job)
        .where(col(Job.status).in_(CLAIMED), col(Job.lease_expires_at) < database_now())
        .values(worker_losses=Job.worker_losses + 1, lease_expires_at=None)
        .returning(col(Job.id), col(Job.attempt), col(Job.worker_id), col(Job.status))
        .execution_options(synchronize_session=False)
    ).all()
    requeued = []
    for job_id, attempt, worker_id, status in expired:
        claim = Claim(job_id, attempt, worker_id)
        lost = WorkerLost(worker_id).report()
        if _settle_loss(session, claim, JobStatus(status), lost, policy) is JobStatus.QUEUED:
            requeued.append(job_id)
    return requeued


def request_cancel(session: Session, job_id: str, *, force: bool = False) -> Job:
    """Cancel a job that nobody holds at once; ask a claimed one to stop; leave an ended one as it is. Safe to repeat.

    With `force` a claimed job is cancelled at once too, for when its processes are gone; one that is not gone is
    fenced off and ends its trainer at its next heartbeat.
    """
    job = queries.locked(session, job_id)
    if job.status in {JobStatus.QUEUED, JobStatus.PAUSED, *(CLAIMED if force else ())}:
        lease_expires_at = job.lease_expires_at
        _settle(session, job_id, job.attempt, JobStatus.CANCELLED, None, "cancelled by a person")
        # Its trainer may live as long as the lease: a retry must not start another beside it.
        _update_job(session, job_id, retry_at=lease_expires_at)
    else:
        _ask(session, job, [JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.PAUSING], JobStatus.CANCELLING)
    return queries.fresh(session, job_id)


def request_pause(session: Session, job_id: str) -> Job:
    """Pause a queued job at once; ask a claimed one to save its state and stop. Safe to repeat. Raises NotPausable."""
    job = queries.locked(session, job_id)
    _ask(session, job, [JobStatus.QUEUED], JobStatus.PAUSED)
    _ask(session, job, [JobStatus.PREPARING, JobStatus.RUNNING], JobStatus.PAUSING)
    job = queries.fresh(session, job_id)
    status = JobStatus(job.status)
    if status not in (JobStatus.PAUSING, JobStatus.PAUSED):
        raise NotPausable(job_id, status)
    return job


def resume(session: Session, job_id: str) -> Job:
    """Queue a paused job again, behind its equals; one that is queued or runs already stays as it is. Ring the bell
    after the commit. Raises NotPaused."""
    _queue_again(session, job_id, [JobStatus.PAUSED], "resumed by a person")
    job = queries.fresh(session, job_id)
    status = JobStatus(job.status)
    if status not in (JobStatus.QUEUED, JobStatus.PREPARING, JobStatus.RUNNING):
        raise NotPaused(job_id, status)
    return job


def retry(session: Session, job_id: str, *, from_start: bool = False) -> Job:
    """Queue a failed or cancelled job again: from its last saved state, or from the start. Ring the bell after the
    commit. Raises NotRetryable, StatesGone where its states were deleted since, but not what they had led to, and what
    `hold_named` raises where the weights of a job that it names are gone."""
    if not from_start:
        job = queries.locked(session, job_id)
        if job.checkpoint is not None and not queries.resume_points(session, job_id):
            raise StatesGone(job_id)
    again = "from the start" if from_start else "from the last saved state"
    if not _queue_again(session, job_id, list(RETRYABLE), f"retried by a person {again}"):
        raise NotRetryable(job_id, JobStatus(queries.fresh(session, job_id).status))
    hold_named(session, queries.get(session, job_id).config)
    if from_start:
        _cut(session, job_id, None)
        _update_job(session, job_id, checkpoint=None, recognition_before=None, facts=None)
        _update_job(session, job_id, predicted=None, seconds_worked=0.0)
    points = queries.resume_points(session, job_id)
    progress = points[0].progress if points else 0.0
    _update_job(session, job_id, error=None, finished_at=None, verdict=None, recognition_after=None, progress=progress)
    return queries.fresh(session, job_id)


def note_waiting(session: Session, job_id: str, reason: str) -> None:
    """Why a queued job is not claimed, for a person to read."""
    noted = session.execute(
        update(Job)
        .where(
            col(Job.id) == job_id,
            col(Job.status) == JobStatus.QUEUED,
            func.coalesce(Job.waiting_reason, "") != reason,
        )
        .values(waiting_reason=reason)
        .returning(col(Job.id))
        .execution_options(synchronize_session=False)
    )
    if noted.one_or_none() is not None:
        append_event(session, job_id, "waiting", {"reason": reason})


def take_unrung(session: Session, ring_again_seconds: float) -> int:
    """How many queued jobs' bells are due (never rung, or rung this long ago); marks them as rung."""
    rung = session.execute(
        update(Job)
        .where(
            col(Job.status) == JobStatus.QUEUED,
            queries.is_due(),
            func.coalesce(Job.rung_at, 0.0) < database_now() - ring_again_seconds,
        )
        .values(rung_at=database_now())
        .returning(col(Job.id))
        .execution_options(synchronize_session=False)
    ).all()
    return len(rung)


def report_worker(session: Session, worker_id: str, hostname: str) -> None:
    """The worker is alive now."""
    now = clock(session)
    worker = session.get(WorkerSeen, worker_id)
    if worker is None:
        session.add(WorkerSeen(id=worker_id, hostname=hostname, started_at=now, seen_at=now))
    else:
        worker.seen_at = now


def forget_worker(session: Session, worker_id: str) -> None:
    """The worker stopped on purpose."""
    session.execute(delete(WorkerSeen).where(col(WorkerSeen.id) == worker_id))


def append_event(session: Session, job_id: str, kind: str, data: dict[str, Any]) -> None:
    """Number the event under the row's lock, so that no reader with a cursor ever skips one."""
    number, attempt = session.execute(
        update(Job)
        .where(col(Job.id) == job_id)
        .values(event_count=Job.event_count + 1)
        .returning(col(Job.event_count), col(Job.attempt))
        .execution_options(synchronize_session=False)
    ).one()
    session.add(
        JobEvent(job_id=job_id, number=number, attempt=attempt, kind=kind, data=data, created_at=clock(session))
    )


def forget_artifacts(session: Session, keys: Sequence[str]) -> None:
    """Delete the rows of files; delete the files after the commit."""
    if keys:
        session.execute(delete(Artifact).where(col(Artifact.key).in_(keys)))


def _digest(config: JobConfig, priority: int, kind: JobKind) -> str:
    # A training's is that of before there were other kinds: its key may have come then.
    of_kind = [] if kind == FINETUNING else [kind]
    # Nor are there fields that came later, where they are not set.
    fields = type(config).model_fields
    later = {name for name in ADDED_LATER & fields.keys() if getattr(config, name) == fields[name].default}
    content = config.model_dump(mode="json", exclude=later)
    # Whether a dataset has a test part, which an evaluation then takes, is no part of the request.
    if (dataset := content.get("dataset")) and content.get("eval_dir") == f"{dataset.rstrip('/')}/{TEST_FOLDER}":
        content["eval_dir"] = f"{dataset.rstrip('/')}/{VAL_FOLDER}"
    request = json.dumps([content, priority, *of_kind], sort_keys=True)
    return hashlib.sha256(request.encode()).hexdigest()


def _write_claimed(session: Session, claim: Claim, **columns: object) -> JobStatus:
    """The fence: change the row only while this claim holds it. Returns the status it then has."""
    status = session.execute(
        update(Job)
        .where(
            col(Job.id) == claim.job_id,
            col(Job.attempt) == claim.attempt,
            col(Job.worker_id) == claim.worker_id,
            col(Job.status).in_(CLAIMED),
            col(Job.lease_expires_at) >= database_now(),
        )
        .values(columns or {"attempt": claim.attempt})
        .returning(col(Job.status))
        .execution_options(synchronize_session=False)
    ).scalar_one_or_none()
    if status is None:
        raise LeaseLost(claim.job_id, claim.attempt)
    return JobStatus(status)


def _update_job(
    session: Session, job_id: str, *, sources: Sequence[JobStatus] = tuple(JobStatus), **columns: object
) -> bool:
    """Change the row if its status is one of `sources`; whether it was."""
    statement: Update = update(Job).where(col(Job.id) == job_id, col(Job.status).in_(sources)).values(columns)
    changed = session.execute(statement.returning(col(Job.id)).execution_options(synchronize_session=False))
    return changed.one_or_none() is not None


def _update_attempt(session: Session, claim: Claim, **columns: object) -> None:
    session.execute(
        update(Attempt)
        .where(col(Attempt.job_id) == claim.job_id, col(Attempt.number) == claim.attempt)
        .values(columns)
        .execution_options(synchronize_session=False)
    )


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


def _cut(session: Session, job_id: str, point: ResumePoint | None) -> None:
    """Forget what came after the point: metrics, states, and checkpoints that nobody pinned."""
    reached = (0, 0) if point is None else (point.stage, point.epoch)
    session.execute(
        delete(EpochMetric).where(
            col(EpochMetric.job_id) == job_id,
            tuple_(col(EpochMetric.stage), col(EpochMetric.epoch)) > tuple_(*reached),
        )
    )
    kept: set[str] = set()
    if point is not None:
        points = queries.resume_points(session, job_id)
        newer = points[: next((i for i, each in enumerate(points) if each.state.key == point.state.key), 0)]
        kept = {each.state.key for each in points} - {each.state.key for each in newer}
        if point.checkpoint is not None:
            kept |= {file.key for file in checkpoint_files(point.checkpoint)}
    rows = [artifact for artifact in queries.artifacts(session, job_id) if not artifact.pinned]
    forget_artifacts(session, [artifact.key for artifact in rows if artifact.key not in kept])


def _write_receipt(session: Session, claim: Claim, point: ResumePoint | None, steps_done: int) -> ResumeReceipt:
    earlier = [each for each in queries.attempts(session, claim.job_id) if each.number < claim.attempt]
    before = earlier[-1]
    # One that ended before it began to train lost nothing and told nothing of what the one before it had lost.
    trained = next((each for each in reversed(earlier) if each.receipt is not None), earlier[0])
    heard_at = trained.heard_at or trained.started_at
    since = trained.started_at if point is None else max(trained.started_at, point.saved_at)
    return ResumeReceipt(
        from_attempt=None if point is None else point.attempt,
        stage=None if point is None else point.stage,
        epoch=None if point is None else point.epoch,
        step=None if point is None else point.step,
        steps_redone=max(0, trained.steps_done - steps_done),
        seconds_lost=round(max(0.0, heard_at - since), 3),
        seconds_waited=round(max(0.0, clock(session) - (before.ended_at or before.heard_at or before.started_at)), 3),
        reason=before.reason or before.outcome or "unknown",
    )


def _ask(session: Session, job: Job, sources: Sequence[JobStatus], target: JobStatus) -> None:
    """A person's wish for a job that is in one of `sources`."""
    previous = JobStatus(job.status)
    if _update_job(
        session, job.id, sources=sources, status=target, eta_seconds=None, retry_at=None, waiting_reason=None
    ):
        append_event(session, job.id, "status", {"status": target, "previous": previous})


def _queue_again(session: Session, job_id: str, sources: Sequence[JobStatus], reason: str) -> bool:
    previous = JobStatus(queries.locked(session, job_id).status)
    queued = _update_job(
        session,
        job_id,
        sources=sources,
        status=JobStatus.QUEUED,
        queued_at=database_now(),
        rung_at=None,
        waiting_reason=None,
        worker_losses=0,
        worker_id=None,
        stage=None,
        epoch=None,
        step=None,
    )
    if queued:
        append_event(session, job_id, "status", {"status": JobStatus.QUEUED, "previous": previous, "reason": reason})
    return queued


def _settle(
    session: Session,
    job_id: str,
    attempt: int,
    status: JobStatus,
    error: ErrorReport | None,
    reason: str | None = None,
) -> None:
    """Write a final state with its event; the caller holds the row."""
    previous = JobStatus(queries.fresh(session, job_id).status)
    told = None if error is None else error.model_dump()
    progress = {"progress": 1.0} if status is JobStatus.SUCCEEDED else {}
    _update_job(
        session,
        job_id,
        sources=list(set(JobStatus) - TERMINAL),
        status=status,
        error=told,
        finished_at=database_now(),
        lease_expires_at=None,
        retry_at=None,
        waiting_reason=None,
        eta_seconds=None,
        **progress,
    )
    _end_attempt(session, job_id, attempt, status, reason if error is None else error.message)
    duration = _duration(session, job_id)
    append_event(session, job_id, "status", {"status": status, "previous": previous, "error": told} | duration)


def _settle_loss(
    session: Session, claim: Claim, current: JobStatus, lost: ErrorReport, policy: LossPolicy
) -> JobStatus:
    """Queue the job again, or fail it where it lost too many; the caller holds the row."""
    losses = queries.fresh(session, claim.job_id).worker_losses
    if losses >= policy.max_losses and current in (JobStatus.PREPARING, JobStatus.RUNNING):
        _settle(session, claim.job_id, claim.attempt, JobStatus.FAILED, Poisoned(losses, lost).report())
        return JobStatus.FAILED
    return _release(session, claim, current, lost.message, policy.backoff(losses))


def _release(session: Session, claim: Claim, current: JobStatus, reason: str, retry_in: float) -> JobStatus:
    """Put the job back to queued, or cancel or pause it if that was asked for; the caller holds the row."""
    if current is JobStatus.CANCELLING:
        _settle(session, claim.job_id, claim.attempt, JobStatus.CANCELLED, None, reason)
        return JobStatus.CANCELLED
    target = JobStatus.PAUSED if current is JobStatus.PAUSING else JobStatus.QUEUED
    points = queries.resume_points(session, claim.job_id)
    _update_job(
        session,
        claim.job_id,
        status=target,
        worker_id=None,
        lease_expires_at=None,
        rung_at=None,
        retry_at=database_now() + retry_in if retry_in and target is JobStatus.QUEUED else None,
        stage=None,
        epoch=None,
        step=None,
        progress=points[0].progress if points else 0.0,
        eta_seconds=None,
    )
    _end_attempt(session, claim.job_id, claim.attempt, target, reason)
    append_event(session, claim.job_id, "status", {"status": target, "previous": current, "reason": reason})
    return target


def _end_attempt(session: Session, job_id: str, attempt: int, outcome: JobStatus, reason: str | None) -> None:
    ended = session.execute(
        update(Attempt)
        .where(col(Attempt.job_id) == job_id, col(Attempt.number) == attempt, col(Attempt.ended_at).is_(None))
        .values(ended_at=database_now(), outcome=outcome, reason=reason)
        .returning(col(Attempt.started_at), col(Attempt.heard_at), col(Attempt.ended_at))
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if ended is not None:
        until = ended.ended_at if outcome is JobStatus.SUCCEEDED else ended.heard_at or ended.started_at
        _update_job(session, job_id, seconds_worked=Job.seconds_worked + max(0.0, until - ended.started_at))


def _duration(session: Session, job_id: str) -> dict[str, Any]:
    """What a job that ends says of how long it took, where it had said how long it would."""
    job = queries.fresh(session, job_id)
    predicted = view_predicted(job, queries.latest_metric(session, job))
    actual = view_actual(job, session.get(Attempt, (job_id, job.attempt), populate_existing=True), predicted)
    if predicted is None or actual is None:
        return {}
    return {"predicted": predicted.model_dump(), "actual": actual.model_dump()}
