"""Health checks of the API, the database, the broker and the workers."""

from fastapi import APIRouter, Response, status
from sqlalchemy.exc import InterfaceError, OperationalError

from app.api_models.health import Live, Ready
from app.jobs import queries
from app.routes.dependencies import ServiceDep

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
def get_live() -> Live:
    """Answer 200 if the process runs."""
    return Live()


@router.get(
    "/ready", responses={503: {"model": Ready, "description": "The database, the broker or a worker is unavailable"}}
)
def get_ready(service: ServiceDep, response: Response) -> Ready:
    """Check that the database and the broker answer and that a worker has reported: a submitted job would run."""
    seen: float | None = None
    try:
        with service.database.reading() as session:
            seen = queries.seconds_since_worker(session)
        database = True
    except (OperationalError, InterfaceError):
        database = False
    broker = service.bell.broker_answers()
    worker = seen is not None and seen <= service.settings.worker_seen_seconds
    ready = Ready(
        ready=database and broker and worker,
        database=database,
        broker=broker,
        worker=worker,
        worker_seen_seconds_ago=None if seen is None else round(seen, 1),
    )
    if not ready.ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return ready
