"""The Celery worker and its one task, which runs the next job."""

import logging
import multiprocessing
import os
import threading
import time
import warnings

from celery.apps import worker as celery_worker
from celery.exceptions import SecurityWarning
from celery.signals import worker_shutting_down

from app.cleaner import clean
from app.database import Database
from app.finetune.gpus import GpuReport
from app.jobs.rescue import Rounds
from app.logs import LogSetup, configure_logging, log_fields, log_settings
from app.private_files import mend_modes
from app.queue import RUN_NEXT_JOB, Bell, make_celery
from app.settings import Settings
from app.shown_roots import shown_paths
from app.startup import prepare_folders
from app.tracing import configure_tracing, end_tracing
from worker.gpu.monitor import GpuMonitor
from worker.gpu.reader import GpuReader
from worker.kinds import WORKER_KINDS
from worker.messages import TrainerMain
from worker.process.openmp import let_waiting_threads_sleep
from worker.supervisor import Supervisor, new_worker_id
from worker.trainer_process import train

CLEAN_EVERY_SECONDS = 3600.0

_log = logging.getLogger(__name__)

_WARM_MODULES = [
    "worker.process.forkserver_signals",
    "worker.trainer_process",
    *(kind.module for kind in WORKER_KINDS.values()),
]


def run_worker(settings: Settings, trainer_main: TrainerMain = train) -> None:
    """Run jobs until SIGTERM or Ctrl-C. A job that runs then returns to the queue."""
    worker_id = new_worker_id()
    paths = shown_paths(settings)
    configure_logging(LogSetup("worker", settings.log_format, paths, {"worker": worker_id}))
    log_settings(settings)
    prepare_folders(settings, trains=True)
    configure_tracing("worker")
    mend_modes(settings)
    database = Database(settings.database_url, paths)
    database.migrate()
    let_waiting_threads_sleep()
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as NVML and nvidia-smi number the GPUs
    gpus = GpuMonitor(GpuReader())
    gpus.start()
    _log_gpus(gpus.newest())
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(_WARM_MODULES)
    supervisor = Supervisor(database, settings, processes, trainer_main, gpus.newest, worker_id)
    celery = make_celery(settings)

    @celery.task(name=RUN_NEXT_JOB, ignore_result=True)  # type: ignore[untyped-decorator]
    def run_next_job() -> None:
        supervisor.run_waiting_jobs()

    def stop(**_: object) -> None:
        supervisor.stop()

    worker_shutting_down.connect(stop, weak=False)
    # A fork server that is still importing torch would delay the first job.
    warm_up = processes.Process(target=os.getpid)
    warm_up.start()
    warm_up.join()
    rounds = Rounds(database, settings, Bell(celery).ring, supervisor.report_alive)
    threading.Thread(target=_clean_for_ever, args=(database, settings), name="cleaner", daemon=True).start()
    for noisy in ("celery.worker.strategy", "celery.app.trace"):
        # Two lines for each message say nothing: a message carries nothing, and each job has lines of its own.
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # What it prints when it stops would be no line of the log.
    celery_worker.safe_say = lambda *_: None
    # Celery warns root of pickled messages; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    rounds.start()
    try:
        # Threads, never prefork: the trainer is a separate process, and the main thread stays free to stop it.
        celery_worker.Worker(
            app=celery,
            pool="threads",
            concurrency=settings.slots,
            loglevel="INFO",
            quiet=True,
            without_mingle=True,
            without_gossip=True,
        ).start()
    finally:
        supervisor.stop()
        rounds.stop()
        gpus.stop()
        supervisor.retire()
        database.close()
        end_tracing()


def _log_gpus(report: GpuReport) -> None:
    for number, gpu in enumerate(report.gpus):
        _log.info("cuda:%d is GPU %d, %s", number, gpu.index, gpu.name)
    for problem in (report.problem, *(gpu.problem for gpu in report.gpus)):
        if problem is not None and not problem.absent:
            _log.warning("%s; hint: %s", problem.message, problem.hint)


def _clean_for_ever(database: Database, settings: Settings) -> None:
    while True:
        try:
            with log_fields(task="cleaner"):
                clean(database, settings)
        except Exception:  # a disk or a database that is away: the next time may be better
            _log.exception("cleaning failed")
        time.sleep(CLEAN_EVERY_SECONDS)
