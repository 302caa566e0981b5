"""A clock in shared memory by which a trainer knows whether its supervisor still holds the job."""

import time
from ctypes import c_double
from multiprocessing.context import BaseContext


def seconds_since_boot() -> float:
    """Return the time since boot: the same for all processes, monotonic, and running while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseClock:
    """The time until which this machine may write for a job, in memory that supervisor and trainer share.

    It expires a little before the lease in the database, so that the next claimant never meets a writer. A supervisor
    that is frozen or cut off from the database does not renew it, and its trainer ends itself.
    """

    _SAFE_SHARE = 0.9

    def __init__(self, processes: BaseContext, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._until: c_double = processes.RawValue(c_double, seconds_since_boot() + lease_seconds * self._SAFE_SHARE)

    def renewed(self, asked_at: float) -> None:
        """Record that the database renewed the lease on a request sent `asked_at` seconds after boot."""
        self._until.value = asked_at + self._lease_seconds * self._SAFE_SHARE

    def expired(self) -> bool:
        return seconds_since_boot() > self._until.value
