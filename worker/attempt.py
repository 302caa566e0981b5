"""One attempt of a claimed job: its lease, its trainer process, and all that is written of it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from pydantic import ValidationError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session

from app.artifacts import RESERVATION, Artifacts
from app.database import Database
from app.finetune import events
from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ConfigError, EdgefaceError, ErrorReport
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_kinds import decode_config, kind_of
from app.finetune.training_errors import DiskFull
from app.inputs.kinds import find_inputs
from app.inputs.training_inputs import TrainingInputs
from app.jobs import queries
from app.jobs.attempt_errors import FilesAway, LeaseLost, MachineFailed, TrainerCrashed, TrainerDied, TrainerStuck
from app.jobs.errors import StoredFileMissing
from app.jobs.rescue import loss_policy
from app.jobs.resume import ResumePoint
from app.jobs.retention import Retention, clean_job
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, recording
from app.jobs.transitions.fence import Claim
from app.settings import Settings
from worker.lease import LeaseClock, seconds_since_boot
from worker.messages import (
    DsrTrainingOrder,
    EvaluationOrder,
    Failed,
    Order,
    StillPreparing,
    Stop,
    TrainerMessage,
    TrainingOrder,
)
from worker.recording import record
from worker.space import make_directory, remove_if_empty, reserved
from worker.training.storage.paths import EvaluationFiles, ResumeFrom, TrainingFiles

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
TrainerMain = Callable[[Connection, Any], None]
"""Takes an `Order`; those of tests take one kind alone."""

RETRY_SECONDS = 0.2
WAIT_SECONDS = 30.0
KILL_SECONDS = 10.0


class ClaimedJob:
    """Runs one attempt from the claim to its end, whatever that is."""

    def __init__(
        self,
        claim: Claim,
        *,
        database: Database,
        settings: Settings,
        processes: BaseContext,
        trainer_main: TrainerMain,
        worker_stopping: threading.Event,
        lease: LeaseClock,
        slot: int,
        save_bytes: int,
    ) -> None:
        self._claim = claim
        self._database = database
        self._settings = settings
        self._processes = processes
        self._trainer_main = trainer_main
        self._worker_stopping = worker_stopping
        self._lease = lease
        self._slot = slot
        self._save_bytes = save_bytes
        self._artifacts = Artifacts(settings.artifacts_dir)
        self._directory = self._artifacts.attempt_directory(claim.job_id, claim.attempt)
        self._reserved = self._directory / RESERVATION
        self._messages = 0
        self._heard_at = time.monotonic()
        self._stop_asked_at: float | None = None
        self._stuck_for: float | None = None

    def run(self) -> None:
        """Raises LeaseLost once another attempt may have taken over; then nothing more was written."""
        try:
            order = self._prepare_order()
            make_directory(self._directory)
            with reserved(self._reserved, self._save_bytes):
                self._train(order)
            if isinstance(order, TrainingOrder) and order.dry_run:
                remove_if_empty(self._directory)
        except (DiskFull, FilesAway, StoredFileMissing) as lacking:
            self._hand_back(lacking.message, retry_in=WAIT_SECONDS)
        except LeaseLost:
            raise
        except EdgefaceError as error:
            self._fail(error.report())
        except (OSError, EOFError) as error:
            _log.exception("job %s", self._claim.job_id)
            self._lose(MachineFailed(error).report())
        except Exception as error:
            _log.exception("job %s cannot be run here", self._claim.job_id)
            self._fail(TrainerCrashed(error).report())

    def _fail(self, error: ErrorReport) -> None:
        self._write(lambda session: attempts.finish(session, self._claim, JobStatus.FAILED, error))

    def _prepare_order(self) -> Order:
        job = self._read(lambda session: queries.get(session, self._claim.job_id))
        try:
            config = decode_config(job.kind, job.config)
        except ValidationError as invalid:
            raise ConfigError(f"this version does not take the job's config: {invalid}", "submit it anew") from None
        if isinstance(config, EvaluationConfig):
            return self._evaluation_order(config)
        if isinstance(config, DsrTrainingConfig):
            return self._dsr_order(config)
        assert isinstance(config, FinetuneConfig)  # noqa: S101
        inputs = self._read(lambda session: find_inputs(config, self._settings, session))
        return TrainingOrder(
            config,
            self._begin(inputs),
            self._lease,
            self._settings.save_every_seconds,
            self._reserved,
            self._slot,
            dry_run=kind_of(job.kind).dry_run_of is not None,
            predict_duration=job.predicted is None,
        )

    def _dsr_order(self, config: DsrTrainingConfig) -> DsrTrainingOrder:
        inputs = self._read(lambda session: find_inputs(config, self._settings, session))
        return DsrTrainingOrder(
            config,
            self._begin(inputs),
            self._lease,
            self._settings.save_every_seconds,
            self._reserved,
            self._slot,
        )

    def _evaluation_order(self, config: EvaluationConfig) -> EvaluationOrder:
        """It saves nothing on its way: each attempt begins anew."""
        inputs = self._read(lambda session: find_inputs(config, self._settings, session))
        self._write(lambda session: attempts.begin_attempt(session, self._claim, None))
        return EvaluationOrder(
            config,
            EvaluationFiles(inputs.eval_dir, inputs.edgeface, inputs.before, inputs.dsr),
            self._directory,
            self._lease,
            self._settings.save_every_seconds,
            self._reserved,
            self._slot,
        )

    def _newest_whole_point(self) -> ResumePoint | None:
        """None where the training has to start from the beginning: nothing was saved, or the best checkpoint is
        damaged, without which no later epoch would be judged as it was. Raises FilesAway."""
        points = self._read(lambda session: queries.resume_points(session, self._claim.job_id))
        for point in points:
            files = [point.state, *(point.checkpoint.files if point.checkpoint else ())]
            if all(map(self._is_whole, files)):
                return point
            _log.warning("job %s: %s or its checkpoint is damaged", self._claim.job_id, point.state.key)
        if points and not any(self._artifacts.exists(point.state.key) for point in points):
            raise FilesAway(self._claim.job_id, self._settings.artifacts_dir)
        return None

    def _is_whole(self, file: events.WrittenFile) -> bool:
        self._renew_lease()  # a large file on a slow drive takes its time
        return self._artifacts.is_whole(file.key, file.size, file.sha256)

    def _begin(self, inputs: TrainingInputs) -> TrainingFiles:
        """At the newest state that is whole, or anew."""
        point = self._newest_whole_point()
        self._write(lambda session: attempts.begin_attempt(session, self._claim, point))
        return TrainingFiles(
            train_dir=inputs.train_dir,
            val_dir=inputs.val_dir,
            edgeface=inputs.edgeface,
            dsr=inputs.dsr,
            output_dir=self._directory,
            prepared_dir=self._settings.prepared_dir,
            resume=None if point is None else self._resume_from(point),
        )

    def _resume_from(self, point: ResumePoint) -> ResumeFrom:
        best = point.checkpoint and point.checkpoint.relocated(lambda key: self._artifacts.path_of(key.as_posix()))
        return ResumeFrom(self._artifacts.path_of(point.state.key), best)

    def _train(self, order: Order) -> None:
        ours, theirs = self._processes.Pipe()
        trainer: BaseProcess = self._processes.Process(  # type: ignore[attr-defined]
            target=self._trainer_main, args=(theirs, order), name=f"trainer-{self._claim.job_id}"
        )
        self._renew_lease()
        trainer.start()
        theirs.close()
        try:
            self._watch(trainer, ours)
        finally:
            _end(trainer)
            ours.close()

    def _watch(self, trainer: BaseProcess, connection: Connection) -> None:
        """Write what the trainer tells until it has ended or has to."""
        next_renewal = 0.0
        self._heard_at = time.monotonic()
        while True:
            ready = wait([connection, trainer.sentinel], timeout=self._settings.heartbeat_seconds / 2)
            if connection in ready and self._take_messages(connection):
                return
            if time.monotonic() >= next_renewal:
                next_renewal = time.monotonic() + self._settings.heartbeat_seconds
                if (status := self._renew_lease()) is JobStatus.CANCELLING:
                    _end(trainer)
                    self._write(lambda session: attempts.finish(session, self._claim, JobStatus.CANCELLED))
                    return
                self._stop_where_due(connection, status)
            if trainer.sentinel in ready or self._stops_too_slowly():
                _end(trainer)
                if not self._take_messages(connection):
                    # Where the fork server was killed the trainer only looks dead: now it sees its pipe closed.
                    connection.close()
                    self._settle_death(trainer)
                return

    def _stop_where_due(self, connection: Connection, status: JobStatus) -> None:
        """Ask the trainer to save its state and stop, once, where it should pause, is stuck, or its worker stops."""
        silent = time.monotonic() - self._heard_at
        if self._stuck_for is None and silent > self._settings.stall_seconds:
            self._stuck_for = silent
        due = status is JobStatus.PAUSING or self._worker_stopping.is_set() or self._stuck_for is not None
        if due and self._stop_asked_at is None:
            self._stop_asked_at = time.monotonic()
            with contextlib.suppress(OSError):  # it is ending already
                connection.send(Stop())

    def _stops_too_slowly(self) -> bool:
        asked_at = self._stop_asked_at
        return asked_at is not None and time.monotonic() - asked_at > self._settings.stop_seconds

    def _renew_lease(self) -> JobStatus:
        asked_at = seconds_since_boot()
        status = self._write(lambda session: attempts.renew_lease(session, self._claim, self._settings.lease_seconds))
        self._lease.renewed(asked_at)
        return status

    def _take_messages(self, connection: Connection) -> bool:
        """Write every message that has come; True once the last one has, and the job is settled."""
        while (message := _receive(connection)) is not None:
            self._messages += 1
            self._heard_at = time.monotonic()
            match message:
                case events.Stopped():
                    self._settle_stop()
                case Failed():
                    self._settle_failure(message)
                case StillPreparing():
                    pass
                case _:
                    superseded = self._write(partial(self._record, message=message, number=self._messages))
                    self._artifacts.delete(superseded)
                    if isinstance(message, events.Checkpoint | events.Finished):
                        self._delete_superseded_checkpoints()
            if isinstance(
                message, events.Finished | events.EvaluationWritten | events.DryRunFinished | events.Stopped | Failed
            ):
                return True
        return False

    def _delete_superseded_checkpoints(self) -> None:
        # It can wait for the cleaner, and must cost no training.
        with contextlib.suppress(OperationalError, InterfaceError):
            retention = Retention.of(self._settings)
            clean_job(self._database, self._settings.artifacts_dir, self._claim.job_id, retention)

    def _record(self, session: Session, *, message: TrainerMessage, number: int) -> list[str]:
        if not recording.record_once(session, self._claim, number):
            return []
        return record(session, self._claim, message, self._artifacts)

    def _settle_stop(self) -> None:
        """The trainer ended because it was asked to, and saved what it could."""
        if self._stuck_for is not None:
            self._lose(TrainerStuck(self._stuck_for).report())
        else:
            # Paused or cancelled, if that is why; else queued again.
            self._hand_back("the worker was stopped" if self._worker_stopping.is_set() else "the training was stopped")

    def _settle_failure(self, failed: Failed) -> None:
        if failed.error.code == DiskFull.code:
            self._hand_back(failed.error.message, retry_in=WAIT_SECONDS)
        elif failed.worth_another_try:
            self._lose(failed.error)
        else:
            self._fail(failed.error)

    def _settle_death(self, trainer: BaseProcess) -> None:
        if self._stop_asked_at is not None:
            self._settle_stop()
        else:
            self._lose(TrainerDied(trainer.exitcode).report())

    def _hand_back(self, reason: str, *, retry_in: float = 0.0) -> None:
        status = self._write(lambda session: attempts.hand_back(session, self._claim, reason, retry_in=retry_in))
        _log.info("job %s: %s, now %s", self._claim.job_id, reason, status)

    def _lose(self, lost: ErrorReport) -> None:
        policy = loss_policy(self._settings)
        status = self._write(lambda session: attempts.lose_trainer(session, self._claim, lost, policy))
        _log.warning("job %s: %s, now %s", self._claim.job_id, lost.message, status)

    def _read(self, query: Callable[[Session], _Result]) -> _Result:
        return self._transact(self._database.reading, query)

    def _write(self, transaction: Callable[[Session], _Result]) -> _Result:
        return self._transact(self._database.writing, transaction)

    def _transact(
        self, opened: Callable[[], AbstractContextManager[Session]], transaction: Callable[[Session], _Result]
    ) -> _Result:
        """Tried again while the database is away and the lease lasts. Raises LeaseLost."""
        while True:
            try:
                with opened() as session:
                    return transaction(session)
            except (OperationalError, InterfaceError) as error:
                if self._lease.expired():
                    raise LeaseLost(self._claim.job_id, self._claim.attempt) from error
                if _disk_is_full(error):
                    self._reserved.unlink(missing_ok=True)
                _log.warning("the database does not answer, trying again: %s", error)
                time.sleep(RETRY_SECONDS)


def _disk_is_full(error: DBAPIError) -> bool:
    return "full" in str(error.orig) or "No space left" in str(error.orig)


def _receive(connection: Connection) -> TrainerMessage | None:
    """The next message that has come, if any. None too where the trainer died: its sentinel tells how."""
    try:
        return connection.recv() if connection.poll() else None
    except (EOFError, OSError):
        return None


def _end(trainer: BaseProcess) -> None:
    """The trainer is gone when this returns, or stuck in the kernel, from where it returns only to die. Files it was
    writing were aside, so killing it harms none."""
    if trainer.is_alive():
        trainer.kill()
    trainer.join(KILL_SECONDS)
