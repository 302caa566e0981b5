"""Database access of one attempt, retried while the database is unavailable and the lease lasts."""

import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlmodel import Session

from app.database import Database
from app.finetune.gpus import GpuUse
from app.jobs.attempt_errors import LeaseLost
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts
from app.jobs.transitions.fence import Claim
from worker.lease import LeaseClock, seconds_since_boot

_log = logging.getLogger(__name__)

_Result = TypeVar("_Result")

RETRY_SECONDS = 0.2


class FencedDatabase:
    """All methods raise LeaseLost once another attempt may have claimed the job.

    If the disk is full, the file `reserved` is deleted, so that the database can write.
    """

    def __init__(
        self, database: Database, claim: Claim, lease: LeaseClock, lease_seconds: float, reserved: Path
    ) -> None:
        self._database = database
        self._claim = claim
        self._lease = lease
        self._lease_seconds = lease_seconds
        self._reserved = reserved

    def read(self, query: Callable[[Session], _Result]) -> _Result:
        return self._transact(self._database.reading, query)

    def write(self, transaction: Callable[[Session], _Result]) -> _Result:
        """Run an idempotent transaction: its commit may have succeeded although the answer was lost."""
        return self._transact(self._database.writing, transaction)

    def renew_lease(self, gpu: GpuUse | None = None) -> JobStatus:
        """Renew the lease, record the attempt's GPU if given, and return the job's status, which shows a requested
        cancel or pause."""
        asked_at = seconds_since_boot()
        status = self.write(lambda session: attempts.renew_lease(session, self._claim, self._lease_seconds, gpu))
        self._lease.renewed(asked_at)
        return status

    def _transact(
        self, opened: Callable[[], AbstractContextManager[Session]], transaction: Callable[[Session], _Result]
    ) -> _Result:
        while True:
            try:
                with opened() as session:
                    return transaction(session)
            except (OperationalError, InterfaceError) as error:
                if self._lease.expired():
                    raise LeaseLost(self._claim.job_id, self._claim.attempt) from error
                if _disk_is_full(error):
                    self._reserved.unlink(missing_ok=True)
                _log.warning("the database does not answer; retrying: %s", error)
                time.sleep(RETRY_SECONDS)


def _disk_is_full(error: DBAPIError) -> bool:
    return "full" in str(error.orig) or "No space left" in str(error.orig)
