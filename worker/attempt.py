"""One attempt at a claimed job: starts its trainer process, writes its messages into rows, and ends it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
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
from app.finetune.gpus import GpuReport
from app.finetune.job_config import JobConfig
from app.finetune.training_errors import DiskFull, GpuFull, GpuUnusable
from app.isolated.errors import ReadersBusy, ReadersUnavailable
from app.jobs import queries
from app.jobs.attempt_errors import FilesAway, LeaseLost, MachineFailed, TrainerCrashed, TrainerDied, TrainerStuck
from app.jobs.errors import StoredFileMissing, StoredFileUnreadable
from app.jobs.rescue import loss_policy
from app.jobs.retention import Retention, clean_job
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, recording
from app.jobs.transitions.fence import Claim
from app.jobs.waiting import reason_after
from app.settings import Settings
from app.shown_roots import shown_paths
from app.tracing import PhaseSpans
from worker.fenced_database import FencedDatabase
from worker.gpu.leases import GpuLease
from worker.gpu.use import GpuUsage
from worker.lease import LeaseClock
from worker.messages import LAST_MESSAGES, Failed, JobFiles, Order, Stop, TrainerMain, TrainerMessage
from worker.orders import AttemptContext, ReadJob, make_order
from worker.recording import record
from worker.space import make_directory, remove_if_empty, reserved

_log = logging.getLogger(__name__)

_WAITS_FOR_THE_MACHINE = (DiskFull.code, GpuFull.code, GpuUnusable.code)

WAIT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 600.0
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
        gpu: int,
        gpu_lease: GpuLease | None,
        save_bytes: int,
        gpus: Callable[[], GpuReport],
    ) -> None:
        """`job` is the error that reading the job raised, if it did: the attempt fails with it."""
        artifacts = Artifacts(settings.artifacts_dir)
        folder = artifacts.attempt_directory(claim.job_id, claim.attempt)
        reservation = folder / RESERVATION
        fenced = FencedDatabase(database, claim, lease, settings.lease_seconds, reservation)
        self._attempt = AttemptContext(claim, settings, artifacts, fenced, folder, reservation, lease, gpu, gpu_lease)
        self._claim = claim
        self._job = job
        self._unfenced = database
        self._database = fenced
        self._settings = settings
        self._paths = shown_paths(settings)
        self._processes = processes
        self._trainer_main = trainer_main
        self._worker_stopping = worker_stopping
        self._save_bytes = save_bytes
        self._gpus = gpus
        self._messages = 0
        self._phases = PhaseSpans()
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
        except (DiskFull, FilesAway, StoredFileMissing, StoredFileUnreadable) as lacking:
            self._wait(lacking.report())
        except LeaseLost:
            raise
        except (ReadersBusy, ReadersUnavailable) as error:
            self._lose(error.report())
        except EdgefaceError as error:
            self._fail(error.report())
        except (OSError, EOFError) as error:
            _log.exception("job %s", self._claim.job_id)
            self._lose(MachineFailed(error).report())
        except Exception as error:
            _log.exception("job %s cannot be run here", self._claim.job_id)
            self._fail(TrainerCrashed(error).report())

    def _fail(self, error: ErrorReport) -> None:
        shown = self._shown(error)
        self._database.write(lambda session: attempts.finish(session, self._claim, JobStatus.FAILED, shown))

    def _shown(self, error: ErrorReport) -> ErrorReport:
        return ErrorReport.model_validate(self._paths.shown_in(error.model_dump()))

    def _train(self, order: Order[JobConfig, JobFiles]) -> None:
        ours, theirs = self._processes.Pipe()
        trainer: BaseProcess = self._processes.Process(  # type: ignore[attr-defined]
            target=self._trainer_main, args=(theirs, order), name=f"trainer-{self._claim.job_id}"
        )
        self._database.renew_lease()
        trainer.start()
        theirs.close()
        try:
            self._watch(trainer, ours, GpuUsage(getattr(order.config, "device", "cpu"), order.gpu, self._gpus))
        finally:
            _end(trainer)
            self._phases.end()
            ours.close()

    def _watch(self, trainer: BaseProcess, connection: Connection, gpu: GpuUsage) -> None:
        """Write the messages of the trainer until it has ended, and end it where it has to."""
        next_renewal = 0.0
        self._heard_at = time.monotonic()
        while True:
            ready = wait([connection, trainer.sentinel], timeout=self._settings.heartbeat_seconds / 2)
            if connection in ready and self._take_messages(connection):
                return
            if time.monotonic() >= next_renewal:
                next_renewal = time.monotonic() + self._settings.heartbeat_seconds
                if (status := self._database.renew_lease(gpu.update())) is JobStatus.CANCELLING:
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
                case _:
                    if isinstance(message, events.PhaseStarted):
                        self._phases.start(message.phase)
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
        return record(session, self._claim, message, self._attempt.artifacts, self._paths)

    def _finish_stopped(self) -> None:
        """The trainer ended because it was asked to, and saved what it could."""
        if self._stuck_for is not None:
            self._lose(TrainerStuck(self._stuck_for).report())
        else:
            # Paused or cancelled, if that is why; else queued again.
            self._hand_back("the worker was stopped" if self._worker_stopping.is_set() else "the training was stopped")

    def _finish_failed(self, failed: Failed) -> None:
        if failed.error.code in _WAITS_FOR_THE_MACHINE:
            self._wait(failed.error, longest=LONGEST_WAIT_SECONDS)
        elif failed.worth_another_try:
            self._lose(failed.error)
        else:
            self._fail(failed.error)

    def _finish_dead(self, trainer: BaseProcess) -> None:
        if self._stop_asked_at is not None:
            self._finish_stopped()
        else:
            self._lose(TrainerDied(trainer.exitcode).report())

    def _hand_back(self, reason: str) -> None:
        self._database.write(lambda session: attempts.hand_back(session, self._claim, reason))

    def _wait(self, lacking: ErrorReport, longest: float = 0.0) -> None:
        """Hand the job back, to be claimed again when what it lacks may be there. The wait doubles up to `longest`
        seconds for as long as attempts end with the same words: each started a process in vain."""
        lacking = self._shown(lacking)

        def hand_back(session: Session) -> None:
            again = queries.newest_ends_for(session, self._claim.job_id, lacking.message)
            seconds = max(WAIT_SECONDS, min(longest, WAIT_SECONDS * 2 ** min(again, 32)))
            waits_for = reason_after(lacking)
            attempts.hand_back(session, self._claim, lacking.message, retry_in=seconds, waits_for=waits_for)

        self._database.write(hand_back)

    def _lose(self, lost: ErrorReport) -> None:
        policy, shown = loss_policy(self._settings), self._shown(lost)
        self._database.write(lambda session: attempts.lose_trainer(session, self._claim, shown, policy))


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
