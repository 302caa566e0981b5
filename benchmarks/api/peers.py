"""Small FastAPI apps as baselines of the API: `python -m benchmarks.api.peers KIND [FILE] --port N`."""

import argparse
import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse, format_sse_event

from app.database import Database
from app.jobs import queries
from app.jobs.search import find_jobs
from app.jobs.states import JobStatus
from app.jobs.views import view_event, view_job
from app.settings import Settings

POLL_SECONDS = 0.2


def bare_app(body: bytes) -> FastAPI:
    """Two routes that return this body: as prepared bytes, and as a dict that FastAPI serialises."""
    app, content = FastAPI(), json.loads(body)

    @app.get("/bytes/{job_id}")
    async def get_bytes(job_id: str) -> Response:  # noqa: ARG001 - as the real one
        return Response(body, media_type="application/json")

    @app.get("/dict/{job_id}")
    async def get_dict(job_id: str) -> dict[str, Any]:  # noqa: ARG001 - as the real one
        return content  # type: ignore[no-any-return]

    return app


def polling_app(database: Database) -> FastAPI:
    """Event streams in which each reader polls the database, as ours once did."""
    app = FastAPI()

    def read(job_id: str, cursor: int) -> tuple[list[bytes], int, str, bool]:
        with database.reading() as session:
            job = queries.get(session, job_id)
            events = [view_event(event) for event in queries.events_after(session, job_id, cursor)]
        frames = [
            format_sse_event(data_str=event.to_json(), event=event.kind, id=str(event.number)) for event in events
        ]
        last = events[-1].number if events else cursor
        progress = job.model_dump_json(include={"status", "progress", "eta_seconds", "stage", "epoch", "step"})
        return frames, last, progress, JobStatus(job.status).terminal and last >= job.event_count

    async def stream(request: Request, job_id: str) -> AsyncIterator[bytes]:
        cursor, shown = int(request.headers.get("last-event-id", "0")), ""
        while True:
            frames, last, progress, terminal = await run_in_threadpool(read, job_id, cursor)
            for frame in frames:
                yield frame
            if progress != shown and not terminal:
                yield format_sse_event(data_str=progress, event="progress")
            if terminal and last == cursor:
                return
            cursor, shown = last, progress
            await asyncio.sleep(POLL_SECONDS)

    @app.get("/jobs/{job_id}/events")
    async def get_events(request: Request, job_id: str) -> Response:
        return EventSourceResponse(stream(request, job_id))

    return app


def crowded_app(database: Database) -> FastAPI:
    """The routes that crowds.py asks for, as FastAPI's documentation writes them."""
    app = polling_app(database)

    @app.get("/health/live")
    def get_live() -> dict[str, bool]:
        return {"live": True}

    @app.get("/jobs")
    def get_jobs(limit: int) -> list[dict[str, Any]]:
        with database.reading() as session:
            jobs = find_jobs(session, limit=limit).jobs
            return [view_job(session, job, 15.0).model_dump(mode="json") for job in jobs]

    @app.post("/uploads", status_code=201)
    async def post_upload(request: Request) -> dict[str, int]:
        return {"size": len(await request.body())}

    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["bare", "polling", "crowded"])
    parser.add_argument("file", type=Path, nargs="?", help="the body, for bare")
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    if arguments.kind == "bare":
        app = bare_app(arguments.file.read_bytes())
    else:
        make = crowded_app if arguments.kind == "crowded" else polling_app
        app = make(Database(Settings().database_url))
    # The same settings as app/cli/api.py.
    uvicorn.run(app, port=arguments.port, log_config=None, access_log=False, timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
