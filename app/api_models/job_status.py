"""The states of a job: who moves each one on, and what a crash of that process does."""

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    """Accepted and waiting. A worker's claim moves it on; the API cancels or pauses it at once. Nobody holds it, so
    nobody's death harms it: if the bell is lost, the rounds ring again."""

    PREPARING = "preparing"
    """Claimed: weights are loaded, images decoded and super-resolved. The claiming supervisor moves it on. If that one
    dies the lease runs out, and the rounds (app/jobs/rescue.py) put it back to queued."""

    RUNNING = "running"
    """Training. Moved on, and rescued, as `preparing`."""

    CANCELLING = "cancelling"
    """A person asked a claimed job to stop. Its supervisor ends the trainer and writes `cancelled`. If that one is dead
    the lease runs out, and the rounds write `cancelled`; `cancel?force=true` does not wait for that."""

    PAUSING = "pausing"
    """A person asked a claimed job to pause. Its supervisor has the trainer save its state and writes `paused`. If that
    one is dead the lease runs out, and the rounds write `paused`: the state saved last survives."""

    PAUSED = "paused"
    """Waits for a person to resume or cancel it. Nobody holds it, so nobody's death harms it."""

    SUCCEEDED = "succeeded"
    """Final. The best checkpoint is the result."""

    FAILED = "failed"
    """Final, unless a person retries it. `error` says why; a checkpoint written before the failure stays."""

    CANCELLED = "cancelled"
    """Final, unless a person retries it. A checkpoint written before the cancel stays."""

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
