"""create_app: builds the API."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version
from threading import Event

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from starlette.types import Scope

from app.artifacts import Artifacts
from app.database import Database
from app.datasets.records import DatasetRecords
from app.finetune.job_kinds import submitted_apart
from app.guard.authentication import Authentication
from app.guard.described import describe_access
from app.guard.gate import Gate, key_of
from app.guard.headers import SecurityHeaders
from app.guard.hosts import CORS, HostsAndOrigins
from app.guard.refusals import STATUSES as REFUSED_STATUSES
from app.guard.refusals import Refusals
from app.isolated.run import warm_up
from app.jobs.rescue import Rounds
from app.live.answers import JobAnswers
from app.live.feeds import Feeds
from app.monitoring.service_metrics import ServiceMetrics
from app.pages import compare as compare_page
from app.pages import datasets as datasets_pages
from app.pages import face_sheet, new_job, static_files
from app.pages import job as job_page
from app.pages import jobs as jobs_page
from app.pages import login as login_page
from app.pages import models as models_page
from app.pages import tried as try_page
from app.problems import add_problem_handlers, answer_error
from app.queue import Bell, make_celery
from app.readiness import shared_readiness
from app.request_limits.checks import CheckPool
from app.request_limits.rate_limits import RateLimits
from app.request_limits.rates import Rates
from app.request_limits.sizes import RequestSizes
from app.request_log import OFTEN_ASKED, AnsweredRequest, RequestLog
from app.routes import (
    actions,
    attempts,
    audit,
    comparisons,
    datasets,
    downloads,
    events,
    health,
    inputs,
    job_lists,
    jobs,
    logs,
    metrics,
    models,
    pins,
    prometheus,
    session,
    sweeps,
    uploads,
)
from app.routes.dependencies import Service, Tries
from app.routes.head_requests import HeadAsGet
from app.routes.photo_form import MOST_FORM_BYTES
from app.routes.submitting import submission_router
from app.routes.upload_receiver import Receiver
from app.settings import Settings
from app.shown_roots import shown_paths
from app.tracing import end_tracing, telemetry_of_api
from app.uploads.rows import Uploads

DESCRIPTION = """\
Fine-tunes the EdgeFace recogniser on very-low-resolution faces.

1. `POST /jobs` submits a config, such as `{"dataset": "orl16"}`. `GET /datasets` and `GET /weights` list the names.
2. `GET /jobs/{id}` returns the job; `GET /jobs/{id}/events` streams its events.
3. `GET /jobs/{id}/checkpoint` downloads `edgeface_finetuned.pth`.

A job resumes from its last saved state after a crash of any process, a pause or a retry. Send an `Idempotency-Key` with
`POST /jobs` to repeat the request safely.

A service with API keys needs one, as `Authorization: Bearer KEY`; each operation names the scope that it needs.

HEAD works wherever GET does. Errors are RFC 9457 problem details with a stable `code`, a `hint` with the next step, and
`blame`. Requests that use a former name are answered with the header `Deprecation` (RFC 9745).
"""


def create_app(settings: Settings) -> FastAPI:
    paths = shown_paths(settings)
    database, stopping = Database(settings.database_url, paths), Event()
    bell = Bell(make_celery(settings))
    feeds = Feeds(database, stopping)
    metrics_of_service = ServiceMetrics(database, settings.worker_seen_seconds, lambda: feeds.readers)
    service = Service(
        settings=settings,
        paths=paths,
        database=database,
        bell=bell,
        artifacts=Artifacts(settings.artifacts_dir),
        datasets=DatasetRecords(database, settings),
        job_answers=JobAnswers(database, settings.worker_seen_seconds),
        feeds=feeds,
        metrics=metrics_of_service,
        uploads=Uploads(database, settings),
        receiver=Receiver(),
        checks=CheckPool(settings.checks_at_once, settings.checks_waiting),
        tries=Tries(MOST_FORM_BYTES),
        readiness=shared_readiness(settings, database, bell),
        stopping=stopping,
        authentication=Authentication(database),
        refusals=Refusals(database),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        settings.make_directories()
        database.migrate()
        service.authentication.load()
        warm_up()
        rounds = Rounds(database, settings, service.bell.ring)
        rounds.start()
        yield
        rounds.stop()
        await service.authentication.close()
        await service.refusals.close()
        database.close()
        end_tracing()

    # /docs without a CDN: the service often runs where there is no internet.
    app = FastAPIOffline(
        title="edgeface-finetune",
        version=version("edgeface-finetune"),
        description=DESCRIPTION,
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        telemetry=telemetry_of_api(OFTEN_ASKED),
    )
    app.state.service, app.state.paths = service, paths
    # The last one added is passed first.
    rates = Rates(settings)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RateLimits, answer=answer_error, rates=rates, caller_of=key_of)
    app.add_middleware(Gate, authentication=service.authentication, routes=lambda: app.routes)
    app.add_middleware(HeadAsGet)
    if settings.cors_origin_list:
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origin_list, **CORS)
    larger = {
        "/uploads": None,
        "/models": MOST_FORM_BYTES,
        try_page.PATH: MOST_FORM_BYTES,
    }  # the route of uploads counts what it writes
    app.add_middleware(RequestSizes, answer=answer_error, larger=larger)
    app.add_middleware(RateLimits, answer=answer_error, rates=rates)
    app.add_middleware(HostsAndOrigins, settings=settings)
    app.add_middleware(RequestLog, observe=partial(_observe, service))
    add_problem_handlers(app)
    for router in (
        job_lists.router,
        jobs.router,
        actions.router,
        attempts.router,
        metrics.router,
        events.router,
        logs.router,
        downloads.router,
        comparisons.router,
        *(submission_router(kind) for kind in submitted_apart()),
        sweeps.router,
        pins.router,
        datasets.router,
        inputs.router,
        models.router,
        uploads.router,
        health.router,
        prometheus.router,
        session.router,
        audit.router,
        compare_page.router,
        job_page.router,
        jobs_page.router,
        login_page.router,
        new_job.router,
        datasets_pages.router,
        face_sheet.router,
        models_page.router,
        static_files.router,
        try_page.router,
    ):
        app.include_router(router)
    describe_access(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _observe(service: Service, answered: AnsweredRequest, scope: Scope) -> None:
    if answered.status in REFUSED_STATUSES:
        service.refusals.count(answered.notes.problem or str(answered.status), scope)
    service.metrics.requests.count(
        answered.method,
        answered.route,
        answered.status,
        answered.notes.problem,
        answered.seconds,
        streamed=answered.notes.streamed,
    )
