"""What this API process has counted since its start."""

from prometheus_client import CollectorRegistry, Counter, Histogram
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
NO_ROUTE = "none"
"""The label of paths that no route has: as many as a client invents."""
OTHER_METHOD = "OTHER"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestCounters:
    """Requests by route, and errors of the database. Every label has few values, whatever the clients send."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "edgeface_http_requests",
            "Requests answered by this API process.",
            ("method", "route", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "edgeface_http_request_duration_seconds",
            "Time from a request to the end of its answer. Event streams are left out.",
            ("route",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._rejections = Counter(
            "edgeface_rejections",
            "Requests answered with a problem, by its code.",
            ("code", "status"),
            registry=registry,
        )
        self._database_errors = Counter(
            "edgeface_database_errors",
            "Statements and connections that failed in this API process, by the class of the error.",
            ("error",),
            registry=registry,
        )

    def count(
        self, method: str, route: str | None, status: int, code: str | None, seconds: float, *, streamed: bool
    ) -> None:
        """`code` is the problem's, if the answer is one. A `status` of 0: the client went away before an answer."""
        route = route or NO_ROUTE
        self._requests.labels(method if method in _METHODS else OTHER_METHOD, route, status).inc()
        if not streamed:
            self._seconds.labels(route).observe(seconds)
        if code is not None:
            self._rejections.labels(code, status).inc()

    def watch(self, engine: Engine) -> None:
        """Count the errors of the engine."""
        event.listen(engine, "handle_error", self._count_error)

    def _count_error(self, context: ExceptionContext) -> None:
        error = context.sqlalchemy_exception or context.original_exception
        self._database_errors.labels(type(error).__name__).inc()
