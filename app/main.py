"""create_app: builds the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from threading import Event

from fastapi import FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from app.artifacts import Artifacts
from app.database import Database
from app.finetune.job_kinds import KINDS
from app.inputs.dataset_checks import DatasetChecks
from app.jobs.rescue import Rounds
from app.live.answers import JobAnswers
from app.live.feeds import Feeds
from app.problems import add_problem_handlers
from app.queue import Bell, make_celery
from app.routes import (
    actions,
    attempts,
    downloads,
    events,
    health,
    inputs,
    jobs,
    metrics,
    pins,
)
from app.routes.dependencies import Service
from app.routes.submitting import submission_router
from app.settings import Settings

DESCRIPTION = """\
Fine-tunes the EdgeFace recogniser on very-low-resolution faces.

1. `POST /jobs` submits a config, such as `{"dataset": "orl16"}`. `GET /datasets` and `GET /weights` list the names.
2. `GET /jobs/{id}` returns the job; `GET /jobs/{id}/events` streams its events.
3. `GET /jobs/{id}/checkpoint` downloads `edgeface_finetuned.pth`.

A job resumes from its last saved state after a crash of any process, a pause or a retry. Send an `Idempotency-Key` with
`POST /jobs` to repeat the request safely.

Errors are RFC 9457 problem details with a stable `code`, a `hint` with the next step, and `blame`. Requests that use a
former name are answered with the header `Deprecation` (RFC 9745).
"""


def create_app(settings: Settings) -> FastAPI:
    database, stopping = Database(settings.database_url), Event()
    service = Service(
        settings=settings,
        database=database,
        bell=Bell(make_celery(settings)),
        artifacts=Artifacts(settings.artifacts_dir),
        dataset_checks=DatasetChecks(settings.checked_images),
        job_answers=JobAnswers(database, settings.worker_seen_seconds),
        feeds=Feeds(database, stopping),
        stopping=stopping,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        settings.make_directories()
        database.migrate()
        rounds = Rounds(database, settings, service.bell.ring)
        rounds.start()
        yield
        rounds.stop()
        database.close()

    # /docs without a CDN: the service often runs where there is no internet.
    app = FastAPIOffline(
        title="edgeface-finetune",
        version=version("edgeface-finetune"),
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
    )
    app.state.service = service
    add_problem_handlers(app)
    for router in (
        jobs.router,
        actions.router,
        attempts.router,
        metrics.router,
        events.router,
        downloads.router,
        *(submission_router(kind) for kind in KINDS.values() if kind.path != jobs.router.prefix),
        pins.router,
        inputs.router,
        health.router,
    ):
        app.include_router(router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
