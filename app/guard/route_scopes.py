"""The scope that each route needs."""

from collections.abc import Iterable, Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute, Mount, compile_path

from app.access.scopes import Scope

OPEN = None
"""A route that needs no key: whether the service lives, its description, and the login itself."""

SCOPES: dict[str, Scope | None] = {
    "GET /health/live": OPEN,
    "GET /health/ready": OPEN,  # tells the machines and GPUs only to readers
    "GET /openapi.json": OPEN,
    "GET /docs": OPEN,
    "GET /docs/oauth2-redirect": OPEN,
    "GET /redoc": OPEN,
    "GET /static-offline-docs": OPEN,
    "GET /ui/static/{file}": OPEN,
    "GET /ui/login": OPEN,
    "POST /ui/login": OPEN,
    "POST /ui/logout": OPEN,
    "GET /ui/try": Scope.READ,
    "POST /ui/try": Scope.READ,
    "GET /": Scope.READ,
    "GET /ui/new": Scope.SUBMIT,
    "GET /ui/jobs/{job_id}": Scope.READ,
    "GET /ui/compare": Scope.READ,
    "GET /ui/compare.csv": Scope.READ,
    "GET /ui/datasets": Scope.READ,
    "GET /ui/datasets/{dataset}": Scope.READ,
    "GET /ui/faces/{dataset_id}": Scope.READ,
    "GET /ui/models": Scope.READ,
    "POST /session": OPEN,
    "DELETE /session": OPEN,
    "GET /session": Scope.READ,
    "GET /jobs": Scope.READ,
    "GET /jobs/counts": Scope.READ,
    "GET /jobs/{job_id}": Scope.READ,
    "GET /jobs/{job_id}/attempts": Scope.READ,
    "GET /jobs/{job_id}/metrics": Scope.READ,
    "GET /jobs/{job_id}/events": Scope.READ,
    "GET /jobs/{job_id}/logs": Scope.READ,
    "GET /jobs/{job_id}/checkpoint": Scope.READ,
    "GET /jobs/{job_id}/report": Scope.READ,
    "GET /jobs/{job_id}/evaluation": Scope.READ,
    "GET /jobs/{job_id}/comparisons/{other}": Scope.READ,
    "PATCH /jobs/{job_id}": Scope.SUBMIT,
    "DELETE /jobs/{job_id}": Scope.SUBMIT,
    "POST /jobs": Scope.SUBMIT,
    "POST /evaluations": Scope.SUBMIT,
    "POST /dsr-trainings": Scope.SUBMIT,
    "POST /sweeps": Scope.SUBMIT,
    "GET /sweeps/{name}": Scope.READ,
    "POST /jobs/{job_id}/cancel": Scope.SUBMIT,
    "POST /jobs/{job_id}/pause": Scope.SUBMIT,
    "POST /jobs/{job_id}/resume": Scope.SUBMIT,
    "POST /jobs/{job_id}/retry": Scope.SUBMIT,
    "POST /jobs/{job_id}/pin": Scope.SUBMIT,
    "DELETE /jobs/{job_id}/pin": Scope.SUBMIT,
    "GET /datasets": Scope.READ,
    "GET /datasets/{dataset}": Scope.READ,
    "GET /datasets/{dataset_id}/sheet": Scope.READ,
    "POST /datasets": Scope.DATA,
    "PATCH /datasets/{dataset}": Scope.DATA,
    "DELETE /datasets/{dataset}": Scope.DATA,
    "GET /weights": Scope.READ,
    "POST /weights": Scope.DATA,
    "GET /weights/{name}": Scope.READ,
    "PATCH /weights/{name}": Scope.DATA,
    "DELETE /weights/{name}": Scope.DATA,
    "GET /models": Scope.READ,
    "POST /models/{model}/comparisons": Scope.READ,  # a job that makes a missing file needs `submit`
    "POST /models/{model}/embeddings": Scope.READ,
    "POST /model-exports": Scope.SUBMIT,
    "GET /audit": Scope.ADMIN,
    "GET /metrics": Scope.READ,
    "OPTIONS /uploads": Scope.DATA,
    "GET /uploads": Scope.DATA,
    "POST /uploads": Scope.DATA,
    "GET /uploads/{upload_id}": Scope.DATA,
    "PATCH /uploads/{upload_id}": Scope.DATA,
    "DELETE /uploads/{upload_id}": Scope.DATA,
}
"""By method and path, as the API's description has them. A route that is missing here needs `admin`."""


class RouteScopes:
    """Finds the scope of a request, as the router finds its route."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._rules = [
            (compile_path(f"{path}/{{rest:path}}" if is_mount else path)[0], method, SCOPES.get(name, Scope.ADMIN))
            for name, method, path, is_mount in _listed(routes)
        ]

    def of(self, method: str, path: str) -> Scope | None:
        """Return the scope, OPEN without one. A path without a route needs `read`: strangers learn no paths."""
        for pattern, of_method, scope in self._rules:
            if of_method == method and pattern.match(path):
                return scope
        return Scope.READ


def route_names(routes: Sequence[BaseRoute]) -> list[str]:
    """Return the name that each route has in SCOPES."""
    return [name for name, *_ in _listed(routes)]


def _listed(routes: Sequence[BaseRoute]) -> Iterable[tuple[str, str, str, bool]]:
    for route in iter_route_contexts(routes):
        path, shown = route.path or "", route.path_format or ""
        if isinstance(route.original_route, Mount):
            yield f"GET {path}", "GET", path, True
            continue
        for method in sorted((route.methods or set()) - {"HEAD"}):  # HEAD is routed as GET
            yield f"{method} {shown}", method, path, False
