"""The states of a job: who moves each one on, and what a crash of that process does."""

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    """Accepted and waiting. A worker's claim moves it to `preparing`; the API cancels or pauses it at once. No process
    holds it. If the queue message is lost, the rounds send another."""

    PREPARING = "preparing"
    """Claimed: weights are loaded, images decoded and super-resolved. The claiming supervisor moves it on. If the
    supervisor crashes, the lease expires and the rounds (app/jobs/rescue.py) move it back to `queued`."""

    RUNNING = "running"
    """Training. The same processes move it on as for `preparing`."""

    CANCELLING = "cancelling"
    """A claimed job was cancelled. Its supervisor ends the trainer and writes `cancelled`. If the supervisor crashes,
    the lease expires and the rounds write `cancelled`; `cancel?force=true` does not wait for that."""

    PAUSING = "pausing"
    """A claimed job was paused. Its trainer saves its state and its supervisor writes `paused`. If the supervisor
    crashes, the lease expires and the rounds write `paused`; the last saved state remains."""

    PAUSED = "paused"
    """Waits for a resume or a cancel. No process holds it."""

    SUCCEEDED = "succeeded"
    """Final. The best checkpoint is the result."""

    FAILED = "failed"
    """Final, unless it is retried. `error` has the reason. A checkpoint written before the failure is kept."""

    CANCELLED = "cancelled"
    """Final, unless it is retried. A checkpoint written before the cancel is kept."""

    @property
    def terminal(self) -> bool:
        return self in TERMINAL


TERMINAL = frozenset({JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED})
