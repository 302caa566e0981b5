"""The registry of one API process, and its page."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from app.database import Database
from app.monitoring.collector import RowsCollector
from app.monitoring.counters import RequestCounters


class ServiceMetrics:
    """A registry of its own, so that several apps in one process count apart."""

    def __init__(self, database: Database, seen_seconds: float, readers: Callable[[], int]) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.requests = RequestCounters(self.registry)
        self.requests.watch(database.engine)
        ProcessCollector(namespace="edgeface_api", registry=self.registry)
        self.registry.register(RowsCollector(database, seen_seconds, readers))

    def page(self, accept: str) -> tuple[bytes, str]:
        """Return the page in the newest format that the header `Accept` names, and its media type."""
        encode, media_type = choose_encoder(accept)
        return encode(self.registry), media_type
