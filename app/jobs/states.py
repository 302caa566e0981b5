"""Transitions between the states of a job. The states themselves: app/api_models/job_status.py."""

from app.api_models.job_status import TERMINAL, JobStatus

__all__ = ["CLAIMED", "NEXT", "RETRYABLE", "TERMINAL", "JobStatus"]

RETRYABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
"""Final states that only a retry by a user leaves."""
CLAIMED = frozenset({JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.CANCELLING, JobStatus.PAUSING})
"""States in which a worker holds the job by a lease."""

NEXT: dict[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.PREPARING, JobStatus.PAUSED, JobStatus.CANCELLED}),
    JobStatus.PREPARING: frozenset({JobStatus.RUNNING, JobStatus.QUEUED, JobStatus.PAUSING, JobStatus.CANCELLING})
    | TERMINAL,
    JobStatus.RUNNING: frozenset({JobStatus.QUEUED, JobStatus.PAUSING, JobStatus.CANCELLING}) | TERMINAL,
    JobStatus.CANCELLING: TERMINAL,
    JobStatus.PAUSING: frozenset({JobStatus.PAUSED, JobStatus.CANCELLING}) | TERMINAL,
    JobStatus.PAUSED: frozenset({JobStatus.QUEUED, JobStatus.CANCELLED}),
    JobStatus.SUCCEEDED: frozenset(),
    JobStatus.FAILED: frozenset({JobStatus.QUEUED}),
    JobStatus.CANCELLED: frozenset({JobStatus.QUEUED}),
}
"""Next states of each state. The tests check that exactly these transitions exist."""
