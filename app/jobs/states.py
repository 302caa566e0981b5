"""Transitions between the states of a job. The states themselves: app/api_models/job_status.py."""

from app.api_models.job_status import TERMINAL, JobStatus

__all__ = ["CLAIMED", "NEXT", "RETRYABLE", "TERMINAL", "JobStatus"]

RETRYABLE = frozenset({JobStatus.FAILED, JobStatus.CANCELLED})
"""The final states that a person's retry, and nothing else, leaves."""
CLAIMED = frozenset({JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.CANCELLING, JobStatus.PAUSING})
"""The states in which one worker holds the job by a lease."""

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
"""What each state may turn into. The store makes each of these transitions and no other: its tests try them all."""
