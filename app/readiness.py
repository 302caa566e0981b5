"""Readiness of the service: the answer of GET /health/ready."""

from sqlalchemy.exc import DBAPIError

from app.api_models.health import Ready, WorkerView
from app.database import Database
from app.database_errors import DatabaseDamaged, DatabaseUnavailable, explain
from app.finetune.errors import ErrorReport
from app.jobs import queries
from app.jobs.worker_views import view_workers
from app.live.shared_read import SharedRead
from app.queue import Bell
from app.settings import Settings


def shared_readiness(settings: Settings, database: Database, bell: Bell) -> SharedRead[Ready]:
    """Return the readiness for many callers at once, who share one thread: a broker that is down answers after
    seconds."""
    return SharedRead(lambda: look_at_readiness(settings, database, bell))


def look_at_readiness(settings: Settings, database: Database, bell: Bell) -> Ready:
    """Ask the database for the workers, and the broker."""
    seen: float | None = None
    workers: list[WorkerView] = []
    problem: ErrorReport | None = None
    try:
        with database.reading() as session:
            seen = queries.seconds_since_worker(session)
            workers = view_workers(session, settings.worker_seen_seconds)
    except DBAPIError as error:
        problem = (explain(error) or DatabaseUnavailable()).report()
    if problem is None and database.damaged:
        problem = DatabaseDamaged("a statement found damage since this process began").report()
    broker = bell.broker_answers()
    worker = seen is not None and seen <= settings.worker_seen_seconds
    return Ready(
        ready=problem is None and broker and worker,
        database=problem is None,
        database_problem=problem,
        broker=broker,
        worker=worker,
        worker_seen_seconds_ago=None if seen is None else round(seen, 1),
        workers=workers,
    )
