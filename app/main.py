"""The API, put together."""

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
    checkpoints,
    events,
    health,
    inputs,
    jobs,
    metrics,
    pins,
    reports,
)
from app.routes.dependencies import Service
from app.routes.submitting import submission_router
from app.settings import Settings

DESCRIPTION = """\
Fine-tunes the EdgeFace recogniser on very-low-resolution faces.

1. `POST /jobs` with a config: `{"dataset": "orl16"}` is enough. `GET /datasets` and `GET /weights` list what there is.
2. `GET /jobs/{id}` shows where it is; `GET /jobs/{id}/events` streams it.
3. `GET /jobs/{id}/checkpoint` downloads `edgeface_finetuned.pth`.

A job that was accepted ends as succeeded, failed or cancelled, whatever dies in between; `pause`, `resume` and `retry`
go on from its last saved state. Send an `Idempotency-Key` with `POST /jobs`, and sending it again is safe.

Errors are RFC 9457 problem details with a stable `code`, a `hint` that says what to do next, and `blame`.
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
        checkpoints.router,
        reports.router,
        *(submission_router(kind) for kind in KINDS.values() if kind.path != jobs.router.prefix),
        pins.router,
        inputs.router,
        health.router,
    ):
        app.include_router(router)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
