"""The bell: a queue message that wakes a worker to look for jobs. A lost, late or doubled message harms no job."""

import logging
from pathlib import Path

from celery import Celery
from kombu.exceptions import OperationalError

from app.broker import RUN_NEXT_JOB as RUN_NEXT_JOB
from app.broker import use_dropping_transports
from app.settings import Settings

_QUEUE = "edgeface"

MOST_PENDING = 16
"""Most messages that wait. Workers whose slots are all busy receive none, and more would only come as a burst later."""

_log = logging.getLogger(__name__)


def make_celery(settings: Settings) -> Celery:
    """Create the Celery app for the broker of the settings: Redis or another by URL, or files under var/broker."""
    use_dropping_transports()
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
        # Whoever reaches the broker could stop workers by it.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
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
        """Send the message, unless MOST_PENDING wait to be received: each of them wakes a worker later than now.

        If the broker is down, log it: the job waits in the table and the rounds send the message again.
        """
        try:
            if self._pending() < MOST_PENDING:
                self._celery.send_task(RUN_NEXT_JOB, queue=_QUEUE, retry=False, ignore_result=True)
        except (OperationalError, OSError) as error:
            _log.warning("the broker does not answer; the message is sent again later: %s", error)

    def _pending(self) -> int:
        """Return the number of messages that no worker has received yet. 0 if the broker does not say."""
        with self._celery.connection_or_acquire() as connection:
            try:
                return int(connection.default_channel.queue_declare(_QUEUE, passive=True).message_count)
            except (*connection.connection_errors, *connection.channel_errors):
                return 0  # Redis has no queue while it is empty

    def broker_answers(self) -> bool:
        try:
            with self._celery.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1, interval_start=0, timeout=2)
        except (OperationalError, OSError):
            return False
        return True
