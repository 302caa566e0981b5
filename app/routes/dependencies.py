"""Dependencies of the routes: the parts of the service, which `create_app` builds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Event
from typing import Annotated, cast

from fastapi import Depends, Request
from sqlmodel import Session

from app.api_models.job import JobView
from app.artifacts import Artifacts
from app.database import Database
from app.inputs.dataset_checks import DatasetChecks
from app.jobs.tables import Job
from app.jobs.views import view_job
from app.live.answers import JobAnswers
from app.live.feeds import Feeds
from app.queue import Bell
from app.settings import Settings


@dataclass(frozen=True)
class Service:
    """The parts of a running API. `stopping` is set at shutdown and ends open streams."""

    settings: Settings
    database: Database
    bell: Bell
    artifacts: Artifacts
    dataset_checks: DatasetChecks
    job_answers: JobAnswers
    feeds: Feeds
    stopping: Event


async def get_service(request: Request) -> Service:
    # async: FastAPI would run it in a thread otherwise
    return cast("Service", request.app.state.service)


ServiceDep = Annotated[Service, Depends(get_service)]


def get_reading_session(service: ServiceDep) -> Iterator[Session]:
    with service.database.reading() as session:
        yield session


ReadingSessionDep = Annotated[Session, Depends(get_reading_session)]


def change_job(service: Service, transition: Callable[[Session], Job]) -> JobView:
    """Change a job in one transaction and return it."""
    with service.database.writing() as session:
        return view_job(session, transition(session), service.settings.worker_seen_seconds)
