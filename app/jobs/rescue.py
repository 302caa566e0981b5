"""The rounds, which run in every API and every worker: they rescue jobs of dead workers and resend lost messages."""

import logging
import threading
from collections.abc import Callable

from sqlalchemy.exc import DBAPIError

from app.database import Database
from app.database_errors import explain
from app.jobs import queries
from app.jobs.transitions import attempts, rounds
from app.jobs.transitions.attempts import LossPolicy
from app.settings import Settings

MOST_RINGS = 16
"""Most messages of a round. One wakes a slot of a worker, which then takes jobs until none waits."""

_log = logging.getLogger(__name__)


def loss_policy(settings: Settings) -> LossPolicy:
    return LossPolicy(settings.max_worker_losses, settings.retry_backoff_seconds)


def rescue_jobs(database: Database, policy: LossPolicy) -> list[str]:
    """Rescue the jobs whose lease has expired. Return the ids of those queued again."""
    with database.writing() as session:
        return attempts.expire_leases(session, policy)


class Rounds:
    """A thread that rescues jobs and sends messages for waiting ones, at its start and every `rounds_seconds`."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        ring: Callable[[], None],
        report_alive: Callable[[], None] | None = None,
    ) -> None:
        self._database = database
        self._settings = settings
        self._ring = ring
        self._report_alive = report_alive
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._walk, name="rounds", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _walk(self) -> None:
        while True:
            try:
                self._walk_once()
            except DBAPIError as error:
                found = explain(error)
                if found is None:
                    _log.exception("a round failed; the next one retries")
                else:
                    _log.error("a round failed; the next one retries: %s (%s)", found.message, error.orig)
            except Exception:  # the rounds must go on after any error, or no dead worker's job is rescued
                _log.exception("a round failed; the next one retries")
            if self._stopped.wait(self._settings.rounds_seconds):
                return

    def _walk_once(self) -> None:
        if self._report_alive is not None:
            self._report_alive()
        rescue_jobs(self._database, loss_policy(self._settings))
        with self._database.writing() as session:
            seen = queries.seconds_since_worker(session)
            # Without a worker the messages would only pile up.
            listening = seen is not None and seen < self._settings.worker_seen_seconds
            due = rounds.take_unrung(session, self._settings.ring_again_seconds) if listening else 0
        for _ in range(min(due, MOST_RINGS)):
            self._ring()
