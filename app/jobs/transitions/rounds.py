"""Transitions of the rounds: waiting jobs and workers."""

from sqlalchemy import func
from sqlmodel import Session, col, delete, update

from app.api_models.events import WaitingNoted
from app.database import database_now
from app.finetune.gpus import GpuReport
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import Job, WorkerSeen
from app.jobs.transitions.fence import append_event, clock


def note_waiting(session: Session, job_id: str, reason: str) -> None:
    """Record the reason why a queued job is not claimed."""
    noted = session.execute(
        update(Job)
        .where(
            col(Job.id) == job_id,
            col(Job.status) == JobStatus.QUEUED,
            func.coalesce(Job.waiting_reason, "") != reason,
        )
        .values(waiting_reason=reason)
        .returning(col(Job.id))
        .execution_options(synchronize_session=False)
    )
    if noted.one_or_none() is not None:
        append_event(session, job_id, WaitingNoted(reason=reason))


def take_unrung(session: Session, ring_again_seconds: float) -> int:
    """Return the number of queued jobs whose message is due (never sent, or sent this long ago), and mark them as
    sent."""
    rung = session.execute(
        update(Job)
        .where(
            col(Job.status) == JobStatus.QUEUED,
            queries.is_due(),
            func.coalesce(Job.rung_at, 0.0) < database_now() - ring_again_seconds,
        )
        .values(rung_at=database_now())
        .returning(col(Job.id))
        .execution_options(synchronize_session=False)
    ).all()
    return len(rung)


def report_worker(session: Session, worker_id: str, hostname: str, gpus: GpuReport | None = None) -> None:
    """Record that the worker is alive now, and the GPUs of its machine."""
    now = clock(session)
    worker = session.get(WorkerSeen, worker_id)
    if worker is None:
        worker = WorkerSeen(id=worker_id, hostname=hostname, started_at=now, seen_at=now)
        session.add(worker)
    worker.seen_at, worker.gpus = now, gpus


def forget_worker(session: Session, worker_id: str) -> None:
    """Remove a worker that stopped on purpose."""
    session.execute(delete(WorkerSeen).where(col(WorkerSeen.id) == worker_id))
