"""Claims jobs, one per slot of the worker, and runs each attempt to its end."""

import logging
import os
import queue
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.context import BaseContext

from sqlalchemy.exc import InterfaceError, OperationalError

from app.artifacts import Artifacts
from app.database import Database
from app.finetune.errors import EdgefaceError
from app.finetune.gpus import GpuReport
from app.jobs import queries
from app.jobs.attempt_errors import LeaseLost
from app.jobs.tables import Job
from app.jobs.transitions import attempts, rounds
from app.jobs.transitions.fence import Claim
from app.logs import log_fields
from app.settings import Settings
from app.shown_roots import shown_paths
from app.tracing import trace_queued, traced_attempt
from worker.attempt import ClaimedJob
from worker.fenced_database import RETRY_SECONDS
from worker.gpu.leases import GpuLease, NoGpuFree
from worker.gpu_admission import GpuAdmission
from worker.lease import LeaseClock
from worker.messages import TrainerMain
from worker.orders import ReadJob, read_job
from worker.space import SpaceNeeded, shortage

_log = logging.getLogger(__name__)


def new_worker_id() -> str:
    """Return a unique id. With a reused one, a restarted worker could be mistaken for the one that died."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Supervisor:
    """Runs the jobs of one worker."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        processes: BaseContext,
        trainer_main: TrainerMain,
        gpus: Callable[[], GpuReport] = GpuReport,
        worker_id: str | None = None,
    ) -> None:
        """`gpus` returns the newest report of the machine's GPUs, and returns at once. `worker_id` is one that
        `new_worker_id` has returned."""
        self.worker_id = worker_id or new_worker_id()
        self._database = database
        self._settings = settings
        self._processes = processes
        self._trainer_main = trainer_main
        self._gpus = gpus
        self._artifacts = Artifacts(settings.artifacts_dir)
        self._stopping = threading.Event()
        self._free_slots: queue.SimpleQueue[int] = queue.SimpleQueue()
        for slot in range(settings.slots):
            self._free_slots.put(slot)
        self._left_to_later_versions: set[str] = set()

    def report_alive(self) -> None:
        """Report the worker, and log the jobs that wait for a worker of a later version."""
        with self._database.writing() as session:
            rounds.report_worker(session, self.worker_id, socket.gethostname(), self._gpus())
            left = {job.id: job.kind for job in queries.of_later_versions(session)}
        for job_id in left.keys() - self._left_to_later_versions:
            _log.warning("job %s waits for a worker of a later version: it is of the kind %r", job_id, left[job_id])
        self._left_to_later_versions = set(left)

    def stop(self) -> None:
        """Hand the running jobs back and claim no other. Returns at once; `run_waiting_jobs` then ends."""
        self._stopping.set()

    def retire(self) -> None:
        """The worker ends on purpose and will not be seen again."""
        with self._database.writing() as session:
            rounds.forget_worker(session, self.worker_id)

    def run_waiting_jobs(self) -> None:
        """Claim and run jobs in a free slot until none waits or the worker stops; returns at once if no slot is
        free."""
        try:
            slot = self._free_slots.get_nowait()
        except queue.Empty:
            return
        try:
            while not self._stopping.is_set() and (claimed := self._claim_next(slot)) is not None:
                self._run(claimed, slot)
        finally:
            self._free_slots.put(slot)

    def _claim_next(self, slot: int) -> "_Claimed | None":
        """Claim the next job with enough disk space and a GPU. One without shows the reason and lets others pass."""
        lacking: set[str] = set()
        admission = GpuAdmission(self._settings, self._gpus, self._stopping)
        while True:
            with self._database.reading() as session:
                job = queries.next_queued(session, lacking)
            if job is None:
                return None
            read = self._read_job(job)
            try:
                gpu = _lease_gpu(read, admission)
            except NoGpuFree as none_free:
                self._let_pass(job, str(none_free), lacking)
                continue
            with ExitStack() as unless_claimed:
                if gpu is not None:
                    unless_claimed.callback(gpu.release)
                needed = self._space_needed(job, read)
                if needed is not None and (reason := shortage(needed, self._settings)) is not None:
                    self._let_pass(job, reason, lacking)
                    continue
                # Before the question is asked: the lease must never last longer here than in the database.
                lease = LeaseClock(self._processes, self._settings.lease_seconds)
                if (claim := self._claim(job.id, slot, lease)) is not None:
                    unless_claimed.pop_all()
                    return _Claimed(claim, read, lease, 1 if needed is None else needed.save, gpu, job.queued_at)

    def _let_pass(self, job: Job, reason: str, lacking: set[str]) -> None:
        lacking.add(job.id)
        with self._database.writing() as session:
            rounds.note_waiting(session, job.id, shown_paths(self._settings).shown(reason))

    def _claim(self, job_id: str, slot: int, lease: LeaseClock) -> Claim | None:
        holder = f"{self.worker_id}/{slot}"
        while True:
            try:
                with self._database.writing() as session:
                    return attempts.claim(session, job_id, holder, self._settings.lease_seconds)
            except (OperationalError, InterfaceError) as error:
                # The answer to the commit may be what was lost: ask again, since the job may be ours.
                if lease.expired() or self._stopping.is_set():
                    raise
                _log.warning("the database does not answer; retrying: %s", error)
                time.sleep(RETRY_SECONDS)

    def _read_job(self, job: Job) -> ReadJob | Exception:
        """Decode the config and find the inputs, once. An error is for the attempt, which fails the job with it."""
        try:
            with self._database.reading() as session:
                return read_job(session, job, self._settings)
        except (EdgefaceError, OSError) as error:
            return error

    def _space_needed(self, job: Job, read: ReadJob | Exception) -> SpaceNeeded | None:
        """Return None where it is not known: the attempt finds the same error, and fails the job with it."""
        self._artifacts.delete_reservations(job.id)
        with self._database.reading() as session:
            faces_are_prepared = bool(queries.resume_points(session, job.id))
        if isinstance(read, Exception):
            return None
        try:
            return read.kind.space(read.config, read.inputs, faces_are_prepared)
        except (EdgefaceError, OSError):
            return None

    def _run(self, claimed: "_Claimed", slot: int) -> None:
        job = ClaimedJob(
            claimed.claim,
            claimed.read,
            database=self._database,
            settings=self._settings,
            processes=self._processes,
            trainer_main=self._trainer_main,
            worker_stopping=self._stopping,
            lease=claimed.lease,
            gpu=slot if claimed.gpu is None else claimed.gpu.number,
            gpu_lease=claimed.gpu,
            save_bytes=claimed.save_bytes,
            gpus=self._gpus,
        )
        try:
            claim = claimed.claim
            trace_queued(claim.job_id, claimed.queued_at)
            with (
                log_fields(job=claim.job_id, attempt=claim.attempt),
                traced_attempt(claim.job_id, claim.attempt, self.worker_id),
            ):
                job.run()
        except LeaseLost as lost:
            _log.warning("job %s: %s", claimed.claim.job_id, lost.message)
        finally:
            if claimed.gpu is not None:
                claimed.gpu.release()


@dataclass(frozen=True)
class _Claimed:
    """`save_bytes` is the disk space that the end of an epoch needs, `gpu` None where the job leases none."""

    claim: Claim
    read: ReadJob | Exception
    lease: LeaseClock
    save_bytes: int
    gpu: GpuLease | None
    queued_at: float


def _lease_gpu(read: ReadJob | Exception, admission: GpuAdmission) -> GpuLease | None:
    """Raises NoGpuFree."""
    if isinstance(read, Exception):
        return None
    try:
        need = read.kind.gpu_memory(read.config, read.inputs)
    except OSError:  # the attempt finds the same error, and fails the job with it
        return None
    return admission.admit(getattr(read.config, "device", "cpu"), need)
