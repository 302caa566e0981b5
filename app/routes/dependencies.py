"""Dependencies of the routes: the parts of the service, which `create_app` builds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends, Request
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from app.access.acting import act_for
from app.access.audit import note
from app.access.callers import NOBODY, Caller
from app.access.errors import AccessRefused
from app.api_models.health import Ready
from app.api_models.job import JobView
from app.artifacts import Artifacts
from app.database import Database
from app.datasets.records import DatasetRecords
from app.finetune.shown_paths import ShownPaths
from app.guard.authentication import Authentication
from app.guard.gate import CallerDep
from app.guard.refusals import Refusals
from app.jobs import queries
from app.jobs.tables import Job
from app.jobs.views import view_job
from app.live.answers import JobAnswers
from app.live.feeds import Feeds
from app.live.shared_read import SharedRead
from app.monitoring.service_metrics import ServiceMetrics
from app.queue import Bell
from app.request_limits.admission import Admission
from app.request_limits.checks import CheckPool
from app.routes.upload_receiver import Receiver
from app.settings import Settings
from app.uploads.rows import Uploads

_Result = TypeVar("_Result")


_TRIES_AT_ONCE = 2
_TRIES_WAITING = 64
_TRIES_BYTES = 64_000_000


class Tries:
    """The turns of requests with photos: few are worked on at a time, and the bytes of all are bounded."""

    def __init__(self, most_bytes: int) -> None:
        self.admission = Admission(_TRIES_AT_ONCE + _TRIES_WAITING, _TRIES_BYTES, most_bytes)
        self.pool = CheckPool(_TRIES_AT_ONCE, _TRIES_WAITING)


@dataclass(frozen=True)
class Service:
    """The parts of a running API. `stopping` is set at shutdown and ends open streams."""

    settings: Settings
    paths: ShownPaths
    database: Database
    bell: Bell
    artifacts: Artifacts
    datasets: DatasetRecords
    job_answers: JobAnswers
    feeds: Feeds
    metrics: ServiceMetrics
    uploads: Uploads
    receiver: Receiver
    checks: CheckPool
    tries: Tries
    readiness: SharedRead[Ready]
    stopping: Event
    authentication: Authentication
    refusals: Refusals


async def get_service(request: Request) -> Service:
    # async: FastAPI would run it in a thread otherwise
    return cast("Service", request.app.state.service)


ServiceDep = Annotated[Service, Depends(get_service)]


async def get_owner(caller: CallerDep) -> str:
    """Return whom the uploads of the request belong to."""
    return caller.name


OwnerDep = Annotated[str, Depends(get_owner)]


class Checks:
    """The pool for work that may take long, for one request."""

    def __init__(self, pool: CheckPool, request: Request) -> None:
        self._pool = pool
        self._request = request

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Return the result of `work`, or raise as it does and as `CheckPool.run`."""
        return await self._pool.run(self._request, work)


async def get_checks(service: ServiceDep, request: Request) -> Checks:
    return Checks(service.checks, request)


ChecksDep = Annotated[Checks, Depends(get_checks)]


async def get_caller_if_known(request: Request, service: ServiceDep) -> Caller:
    try:
        return await service.authentication.caller_of(request)
    except (AccessRefused, DBAPIError):
        return NOBODY


CallerIfKnownDep = Annotated[Caller, Depends(get_caller_if_known)]
"""Who makes the request, for a route that needs no key. NOBODY without a valid key, or without the database."""


@contextmanager
def reading_for(service: "Service", caller: Caller) -> Iterator[Session]:
    """Open a read-only transaction that shows what the caller may see."""
    with service.database.reading() as session:
        act_for(session, caller)
        yield session


@contextmanager
def writing_for(service: "Service", caller: Caller) -> Iterator[Session]:
    """Open a transaction in which the caller makes changes."""
    with service.database.writing() as session:
        act_for(session, caller)
        yield session


def get_reading_session(service: ServiceDep, caller: CallerDep) -> Iterator[Session]:
    with reading_for(service, caller) as session:
        yield session


ReadingSessionDep = Annotated[Session, Depends(get_reading_session)]


def change_job(
    service: Service, caller: Caller, action: str, job_id: str, transition: Callable[[Session], Job], **details: Any
) -> JobView:
    """Change a job in one transaction, with an entry in the audit that has `details`, and return it.

    Raises JobNotFound where the caller may not see it, NotOwner where it is shared with the caller to read.
    """
    with writing_for(service, caller) as session:
        caller.must_own(f"job {job_id}", queries.get(session, job_id).owner)
        note(session, action, f"/jobs/{job_id}", **details)
        return view_job(session, transition(session), service.settings.worker_seen_seconds)
