"""Claims jobs, starts a trainer process for each, and is the only one who writes the claimed job's rows.

It renews the lease, obeys a cancel, and hands the job back when the worker stops.
"""

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from app.artifacts import Artifacts
from app.database import Database
from app.finetune.config import FinetuneConfig
from app.finetune.errors import EdgefaceError, ErrorReport
from app.inputs import find_inputs
from app.jobs import store
from app.jobs.errors import LeaseLost, TrainerCrashed, TrainerDied
from app.jobs.states import JobStatus
from app.jobs.store import Claim
from app.settings import Settings
from worker.messages import Failed, TrainerMessage, TrainingOrder
from worker.training import events
from worker.training.files import TrainingFiles

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")
TrainerMain = Callable[[Connection, TrainingOrder], None]

TERMINATE_SECONDS = 1.0
RETRY_SECONDS = 0.2


def new_worker_id() -> str:
    """Never used twice: a reused name would let a restarted worker pass for the one that died."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Supervisor:
    """Runs the jobs of one worker, one at a time."""

    def __init__(
        self, database: Database, settings: Settings, processes: BaseContext, trainer_main: TrainerMain
    ) -> None:
        self.worker_id = new_worker_id()
        self._database = database
        self._settings = settings
        self._processes = processes
        self._trainer_main = trainer_main
        self._artifacts = Artifacts(settings.artifacts_dir)
        self._stopping = threading.Event()

    def report_alive(self) -> None:
        with self._database.writing() as session:
            store.report_worker(session, self.worker_id, socket.gethostname())

    def stop(self) -> None:
        """Hand the running job back and claim no other. Returns at once; `run_waiting_jobs` then ends."""
        self._stopping.set()

    def retire(self) -> None:
        """The worker ends on purpose and will not be seen again."""
        with self._database.writing() as session:
            store.forget_worker(session, self.worker_id)

    def run_waiting_jobs(self) -> None:
        """Claim and run jobs until none waits or the worker stops."""
        while not self._stopping.is_set():
            with self._database.writing() as session:
                claim = store.claim_next(session, self.worker_id, self._settings.lease_seconds)
                config = None if claim is None else store.get(session, claim.job_id).config
            if claim is None or config is None:
                return
            _log.info("job %s: attempt %d begins", claim.job_id, claim.attempt)
            try:
                self._run(claim, FinetuneConfig.model_validate(config))
            except LeaseLost as lost:
                _log.warning("job %s: %s", claim.job_id, lost.message)
            except Exception as error:
                _log.exception("job %s cannot be run here", claim.job_id)
                self._fail(claim, TrainerCrashed(error).report())

    def _run(self, claim: Claim, config: FinetuneConfig) -> None:
        try:
            inputs = find_inputs(config, self._settings)
        except EdgefaceError as error:
            self._fail(claim, error.report())
            return
        files = TrainingFiles(
            train_dir=inputs.train_dir,
            val_dir=inputs.val_dir,
            edgeface=inputs.edgeface,
            dsr=inputs.dsr,
            output_dir=self._artifacts.attempt_directory(claim.job_id, claim.attempt),
        )
        ours, theirs = self._processes.Pipe()
        trainer: BaseProcess = self._processes.Process(  # type: ignore[attr-defined]
            target=self._trainer_main, args=(theirs, TrainingOrder(config, files)), name=f"trainer-{claim.job_id}"
        )
        trainer.start()
        theirs.close()
        try:
            self._watch(claim, trainer, ours)
        finally:
            _end(trainer)
            ours.close()

    def _fail(self, claim: Claim, error: ErrorReport) -> None:
        with contextlib.suppress(LeaseLost):
            self._write(lambda session: store.finish(session, claim, JobStatus.FAILED, error))

    def _watch(self, claim: Claim, trainer: BaseProcess, connection: Connection) -> None:
        """Write what the trainer tells until it has ended, a cancel is asked for or the worker stops."""
        next_renewal = 0.0
        while True:
            ready = wait([connection, trainer.sentinel], timeout=self._settings.heartbeat_seconds / 2)
            if connection in ready and self._take_messages(claim, connection):
                return
            if time.monotonic() >= next_renewal:
                next_renewal = time.monotonic() + self._settings.heartbeat_seconds
                status = self._write(lambda session: store.renew_lease(session, claim, self._settings.lease_seconds))
                if status is JobStatus.CANCELLING:
                    _end(trainer)
                    self._write(lambda session: store.finish(session, claim, JobStatus.CANCELLED))
                    return
            if self._stopping.is_set():
                _end(trainer)
                self._write(lambda session: store.hand_back(session, claim, "the worker was stopped"))
                return
            if trainer.sentinel in ready:
                if self._take_messages(claim, connection):
                    return
                self._record_death(claim, trainer)
                return

    def _record_death(self, claim: Claim, trainer: BaseProcess) -> None:
        trainer.join()
        lost = TrainerDied(trainer.exitcode).report()
        _log.warning("job %s: %s", claim.job_id, lost.message)
        self._write(lambda session: store.lose_trainer(session, claim, lost, self._settings.max_worker_losses))

    def _take_messages(self, claim: Claim, connection: Connection) -> bool:
        """Write every message that has come; True once the last one has."""
        while (message := _receive(connection)) is not None:
            self._write(partial(self._record, claim=claim, message=message))
            if isinstance(message, events.Finished | Failed):
                return True
        return False

    def _record(self, session: Session, *, claim: Claim, message: TrainerMessage) -> None:
        match message:
            case events.Prepared():
                store.record_running(session, claim, asdict(message))
            case events.Warned(warning):
                store.record_warning(session, claim, warning)
            case events.Progressed():
                store.record_progress(session, claim, **asdict(message))
            case events.StageStarted():
                store.record_event(session, claim, "stage", asdict(message), stage=message.stage, epoch=None)
            case events.EpochFinished():
                store.record_epoch(session, claim, asdict(message))
            case events.RecognitionMeasured(when, recognition):
                columns = {f"recognition_{when}": asdict(recognition)}
                store.record_event(session, claim, "recognition", asdict(message), **columns)
            case events.CheckpointWritten():
                checkpoint = self._describe_checkpoint(message)
                store.record_event(session, claim, "checkpoint", checkpoint, checkpoint=checkpoint)
            case events.StoppedEarly():
                store.record_event(session, claim, "stopped_early", asdict(message))
            case events.Finished():
                store.finish(
                    session,
                    claim,
                    JobStatus.SUCCEEDED,
                    verdict=message.verdict,
                    recognition_before=asdict(message.before),
                    recognition_after=asdict(message.after),
                )
            case Failed(error):
                store.finish(session, claim, JobStatus.FAILED, error)

    def _describe_checkpoint(self, written: events.CheckpointWritten) -> dict[str, Any]:
        files = {
            name: {"key": self._artifacts.key_of(file.path), "size": file.size, "sha256": file.sha256}
            for name, file in (("full", written.full), ("backbone", written.backbone))
        }
        return {"epoch": written.epoch, "score": written.score, **files}

    def _write(self, transaction: Callable[[Session], _Result]) -> _Result:
        """One transaction, tried again while the database is away for less than a lease."""
        give_up = time.monotonic() + self._settings.lease_seconds
        while True:
            try:
                with self._database.writing() as session:
                    return transaction(session)
            except OperationalError as error:
                if time.monotonic() > give_up:
                    raise
                _log.warning("the database does not answer, trying again: %s", error)
                time.sleep(RETRY_SECONDS)


def _receive(connection: Connection) -> TrainerMessage | None:
    """The next message that has come, if any. None too where the trainer died: its sentinel tells how."""
    try:
        return connection.recv() if connection.poll() else None
    except (EOFError, OSError):
        return None


def _end(trainer: BaseProcess) -> None:
    """The trainer is gone when this returns. Files it was writing were aside, so killing it harms none."""
    if trainer.is_alive():
        trainer.terminate()
        trainer.join(TERMINATE_SECONDS)
    if trainer.is_alive():
        trainer.kill()
    trainer.join()
