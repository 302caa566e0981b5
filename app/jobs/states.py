"""The states of a job: who moves each one on, and what happens if that one dies."""

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    """Accepted and waiting. A worker's claim moves it on; the API cancels it at once. Nobody holds it, so nobody's
    death harms it: if the bell is lost, the rounds ring again."""

    PREPARING = "preparing"
    """Claimed: weights are loaded, images decoded and super-resolved. The claiming supervisor moves it on. If that one
    dies the lease runs out, and the rounds (app/jobs/rescue.py) put it back to queued."""

    RUNNING = "running"
    """Training. Moved on, and rescued, as `preparing`."""

    CANCELLING = "cancelling"
    """A person asked a claimed job to stop. Its supervisor ends the trainer and writes `cancelled`. If that one is dead
    the lease runs out, and the rounds write `cancelled`."""

    SUCCEEDED = "succeeded"
    """Final. The best checkpoint is the result."""

    FAILED = "failed"
    """Final. `error` says why; a checkpoint written before the failure stays."""

    CANCELLED = "cancelled"
    """Final. A checkpoint written before the cancel stays."""

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
CLAIMED = frozenset({JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.CANCELLING})
"""The states in which one worker holds the job by a lease."""
