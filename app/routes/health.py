"""Health checks of the API, the database, the broker and the workers."""

from fastapi import APIRouter, Response, status

from app.access.callers import LOCAL_OWNER
from app.access.scopes import Scope
from app.access.start import is_insecure
from app.api_models.health import Live, Ready
from app.routes.dependencies import CallerIfKnownDep, ServiceDep

router = APIRouter(prefix="/health", tags=["health"])


@router.get("/live")
async def get_live() -> Live:
    """Answer 200 if the process runs. It waits for no thread, no database and no broker."""
    return Live()


@router.get(
    "/ready", responses={503: {"model": Ready, "description": "The database, the broker or a worker is unavailable"}}
)
async def get_ready(service: ServiceDep, caller: CallerIfKnownDep, response: Response) -> Ready:
    """Check that the database and the broker answer and that a worker has reported: a submitted job would run. Needs no
    key; only callers with the scope `read` get the workers and their GPUs."""
    ready = await service.readiness.get()
    open_to_all = caller.name == LOCAL_OWNER and caller.key_id is None
    ready = ready.model_copy(
        update={
            "workers": ready.workers if caller.may(Scope.READ) else [],
            "insecure": is_insecure(service.settings, open_to_all),
        }
    )
    if not ready.ready:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return ready
