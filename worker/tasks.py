"""The Celery worker and its one task, which runs the next job."""

import logging
import multiprocessing
import os
import threading
import time
import warnings

from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from celery.signals import worker_shutting_down

from app.cleaner import clean
from app.database import Database
from app.jobs.rescue import Rounds
from app.queue import RUN_NEXT_JOB, Bell, make_celery
from app.settings import Settings
from worker.kinds import WORKER_KINDS
from worker.messages import TrainerMain
from worker.process.openmp import let_waiting_threads_sleep
from worker.supervisor import Supervisor
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
    settings.make_directories()
    database = Database(settings.database_url)
    database.migrate()
    let_waiting_threads_sleep()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(_WARM_MODULES)
    supervisor = Supervisor(database, settings, processes, trainer_main)
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
    # Celery warns root of pickled messages; ours are JSON.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    rounds.start()
    try:
        # Threads, never prefork: the trainer is a separate process, and the main thread stays free to stop it.
        Worker(
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
        supervisor.retire()
        database.close()


def _clean_for_ever(database: Database, settings: Settings) -> None:
    while True:
        try:
            clean(database, settings)
        except Exception:  # a disk or a database that is away: the next time may be better
            _log.exception("cleaning failed")
        time.sleep(CLEAN_EVERY_SECONDS)
