"""One attempt at a claimed job: starts its trainer process, writes its messages into rows, and ends it."""

import contextlib
import logging
import threading
import time
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import Session

from app.artifacts import RESERVATION, Artifacts
from app.database import Database
from app.finetune import events
from app.finetune.errors import EdgefaceError, ErrorReport
from app.finetune.job_config import JobConfig
from app.finetune.training_errors import DiskFull
from app.jobs.attempt_errors import FilesAway, LeaseLost, MachineFailed, TrainerCrashed, TrainerDied, TrainerStuck
from app.jobs.errors import StoredFileMissing
from app.jobs.rescue import loss_policy
from app.jobs.retention import Retention, clean_job
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, recording
from app.jobs.transitions.fence import Claim
from app.settings import Settings
from worker.fenced_database import FencedDatabase
from worker.lease import LeaseClock
from worker.messages import LAST_MESSAGES, Failed, JobFiles, Order, StillPreparing, Stop, TrainerMain, TrainerMessage
from worker.orders import AttemptContext, ReadJob, make_order
from worker.recording import record
from worker.space import make_directory, remove_if_empty, reserved

_log = logging.getLogger(__name__)

WAIT_SECONDS = 30.0
KILL_SECONDS = 10.0


class ClaimedJob:
    """Runs one attempt from the claim to its end."""

    def __init__(
        self,
        claim: Claim,
        job: ReadJob | Exception,
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
        """`job` is the error that reading the job raised, if it did: the attempt fails with it."""
        artifacts = Artifacts(settings.artifacts_dir)
        folder = artifacts.attempt_directory(claim.job_id, claim.attempt)
        reservation = folder / RESERVATION
        fenced = FencedDatabase(database, claim, lease, settings.lease_seconds, reservation)
        self._attempt = AttemptContext(claim, settings, artifacts, fenced, folder, reservation, lease, slot)
        self._claim = claim
        self._job = job
        self._unfenced = database
        self._database = fenced
        self._settings = settings
        self._processes = processes
        self._trainer_main = trainer_main
        self._worker_stopping = worker_stopping
        self._save_bytes = save_bytes
        self._messages = 0
        self._heard_at = time.monotonic()
        self._stop_asked_at: float | None = None
        self._stuck_for: float | None = None

    def run(self) -> None:
        """Raises LeaseLost once another attempt may have taken over; then nothing more was written."""
        try:
            if isinstance(self._job, Exception):
                raise self._job
            order = make_order(self._job, self._attempt)
            make_directory(self._attempt.folder)
            with reserved(self._attempt.reserved, self._save_bytes):
                self._train(order)
            remove_if_empty(self._attempt.folder)
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
        self._database.write(lambda session: attempts.finish(session, self._claim, JobStatus.FAILED, error))

    def _train(self, order: Order[JobConfig, JobFiles]) -> None:
        ours, theirs = self._processes.Pipe()
        trainer: BaseProcess = self._processes.Process(  # type: ignore[attr-defined]
            target=self._trainer_main, args=(theirs, order), name=f"trainer-{self._claim.job_id}"
        )
        self._database.renew_lease()
        trainer.start()
        theirs.close()
        try:
            self._watch(trainer, ours)
        finally:
            _end(trainer)
            ours.close()

    def _watch(self, trainer: BaseProcess, connection: Connection) -> None:
        """Write the messages of the trainer until it has ended, and end it where it has to."""
        next_renewal = 0.0
        self._heard_at = time.monotonic()
        while True:
            ready = wait([connection, trainer.sentinel], timeout=self._settings.heartbeat_seconds / 2)
            if connection in ready and self._take_messages(connection):
                return
            if time.monotonic() >= next_renewal:
                next_renewal = time.monotonic() + self._settings.heartbeat_seconds
                if (status := self._database.renew_lease()) is JobStatus.CANCELLING:
                    _end(trainer)
                    self._database.write(lambda session: attempts.finish(session, self._claim, JobStatus.CANCELLED))
                    return
                self._stop_where_due(connection, status)
            if trainer.sentinel in ready or self._stops_too_slowly():
                _end(trainer)
                if not self._take_messages(connection):
                    # Where the fork server was killed the trainer only looks dead: now it sees its pipe closed.
                    connection.close()
                    self._finish_dead(trainer)
                return

    def _stop_where_due(self, connection: Connection, status: JobStatus) -> None:
        """Ask the trainer once to save its state and stop: for a pause, if it is stuck, or if the worker stops."""
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

    def _take_messages(self, connection: Connection) -> bool:
        """Write every message that has come. Return True after the last one: the attempt has ended in the rows."""
        while (message := _receive(connection)) is not None:
            self._messages += 1
            self._heard_at = time.monotonic()
            match message:
                case events.Stopped():
                    self._finish_stopped()
                case Failed():
                    self._finish_failed(message)
                case StillPreparing():
                    pass
                case _:
                    superseded = self._database.write(partial(self._record, message=message, number=self._messages))
                    self._attempt.artifacts.delete(superseded)
                    if isinstance(message, events.Checkpoint | events.Finished):
                        self._delete_superseded_checkpoints()
            if isinstance(message, LAST_MESSAGES):
                return True
        return False

    def _delete_superseded_checkpoints(self) -> None:
        # It can wait for the cleaner, and must cost no training.
        with contextlib.suppress(OperationalError, InterfaceError):
            retention = Retention.of(self._settings)
            clean_job(self._unfenced, self._settings.artifacts_dir, self._claim.job_id, retention)

    def _record(self, session: Session, *, message: TrainerMessage, number: int) -> list[str]:
        if not recording.record_once(session, self._claim, number):
            return []
        return record(session, self._claim, message, self._attempt.artifacts)

    def _finish_stopped(self) -> None:
        """The trainer ended because it was asked to, and saved what it could."""
        if self._stuck_for is not None:
            self._lose(TrainerStuck(self._stuck_for).report())
        else:
            # Paused or cancelled, if that is why; else queued again.
            self._hand_back("the worker was stopped" if self._worker_stopping.is_set() else "the training was stopped")

    def _finish_failed(self, failed: Failed) -> None:
        if failed.error.code == DiskFull.code:
            self._hand_back(failed.error.message, retry_in=WAIT_SECONDS)
        elif failed.worth_another_try:
            self._lose(failed.error)
        else:
            self._fail(failed.error)

    def _finish_dead(self, trainer: BaseProcess) -> None:
        if self._stop_asked_at is not None:
            self._finish_stopped()
        else:
            self._lose(TrainerDied(trainer.exitcode).report())

    def _hand_back(self, reason: str, *, retry_in: float = 0.0) -> None:
        status = self._database.write(
            lambda session: attempts.hand_back(session, self._claim, reason, retry_in=retry_in)
        )
        _log.info("job %s: %s, now %s", self._claim.job_id, reason, status)

    def _lose(self, lost: ErrorReport) -> None:
        policy = loss_policy(self._settings)
        status = self._database.write(lambda session: attempts.lose_trainer(session, self._claim, lost, policy))
        _log.warning("job %s: %s, now %s", self._claim.job_id, lost.message, status)


def _receive(connection: Connection) -> TrainerMessage | None:
    """Return the next message, None if there is none or the trainer died: its sentinel says how."""
    try:
        return connection.recv() if connection.poll() else None
    except (EOFError, OSError):
        return None


def _end(trainer: BaseProcess) -> None:
    """Kill the trainer and wait for its end, unless it is stuck in the kernel.

    Files are written aside and renamed, so a kill damages none.
    """
    if trainer.is_alive():
        trainer.kill()
    trainer.join(KILL_SECONDS)
