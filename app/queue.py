"""The bell: a queue message that wakes a worker to look for jobs. A lost, late or doubled message harms no job."""

import logging
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError

from app.settings import Settings

RUN_NEXT_JOB = "edgeface.run_next_job"
_QUEUE = "edgeface"

_log = logging.getLogger(__name__)


def make_celery(settings: Settings) -> Celery:
    """Create the Celery app for the broker of the settings: Redis or another by URL, or files under var/broker."""
    celery = Celery("edgeface", broker=settings.broker_url or "filesystem://localhost//")
    celery.conf.update(
        task_default_queue=_QUEUE,
        task_ignore_result=True,
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,  # retry for ever: a broker may be down for hours
        broker_transport_options=_transport_options(settings),
        worker_hijack_root_logger=False,
    )
    return celery


def _transport_options(settings: Settings) -> dict[str, object]:
    if settings.broker_url:
        # One try: a POST must not wait for a broker that is down.
        return {"socket_connect_timeout": 2, "socket_timeout": 10, "max_retries": 1, "interval_start": 0}
    folder = settings.var_dir / "broker"
    for name in ("messages", "control"):
        Path(folder / name).mkdir(parents=True, exist_ok=True)
    return {
        "data_folder_in": str(folder / "messages"),
        "data_folder_out": str(folder / "messages"),
        "control_folder": str(folder / "control"),
        "polling_interval": 0.1,
    }


class Bell:
    """Wakes workers."""

    def __init__(self, celery: Celery) -> None:
        self._celery = celery

    def ring(self) -> None:
        """Send the message. If the broker is down, log it: the job waits in the table and the rounds send it again."""
        try:
            self._celery.send_task(RUN_NEXT_JOB, queue=_QUEUE, retry=False, ignore_result=True, expires=300)
        except (OperationalError, OSError) as error:
            _log.warning("the broker does not answer; the message is sent again later: %s", error)

    def broker_answers(self) -> bool:
        try:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        except (OperationalError, OSError):
            return False
        return True
