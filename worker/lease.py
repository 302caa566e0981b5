"""How a trainer knows, without asking, whether its supervisor still holds the job."""

import time
from ctypes import c_double
from multiprocessing.context import BaseContext


def seconds_since_boot() -> float:
    """The same for all processes of a machine, never set back, and going on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class LeaseClock:
    """Until when this machine may write for a job; in memory that supervisor and trainer share.

    It runs out a little before the lease in the database does, so that whoever claims the job next finds nobody
    writing. A supervisor that is frozen or cut off from the database renews nothing, and its trainer ends itself.
    """

    _SAFE_SHARE = 0.9

    def __init__(self, processes: BaseContext, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._until: c_double = processes.RawValue(c_double, seconds_since_boot() + lease_seconds * self._SAFE_SHARE)

    def renewed(self, asked_at: float) -> None:
        """The database renewed the lease in answer to a question asked `asked_at` seconds since boot."""
        self._until.value = asked_at + self._lease_seconds * self._SAFE_SHARE

    def expired(self) -> bool:
        return seconds_since_boot() > self._until.value
