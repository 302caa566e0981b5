"""Databases of both kinds, and one chain of helpers that bring a job one state further each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlmodel import col, update

from app.database import Database, database_now
from app.finetune.config import FinetuneConfig
from app.jobs import store
from app.jobs.store import Claim
from app.jobs.tables import Job
from tests.support.servers import postgresql_database, postgresql_server

CONFIG = FinetuneConfig.model_validate({"dataset": "faces"})
LEASE_SECONDS = 30.0


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'edgeface.sqlite'}"
        return
    with postgresql_database(request.getfixturevalue("postgresql")) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


def submit(database: Database) -> str:
    with database.writing() as session:
        return store.submit(session, CONFIG, []).id


def claim(database: Database, worker_id: str = "worker-1") -> Claim:
    with database.writing() as session:
        claimed = store.claim_next(session, worker_id, LEASE_SECONDS)
    assert claimed is not None
    return claimed


def running(database: Database) -> Claim:
    submit(database)
    claimed = claim(database)
    with database.writing() as session:
        store.record_running(session, claimed, {"device": "cpu"})
    return claimed


def run_out_lease(database: Database, job_id: str) -> None:
    """As if the worker had been silent for the length of its lease."""
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(lease_expires_at=database_now() - 0.001))


def status(database: Database, job_id: str) -> str:
    with database.reading() as session:
        return store.get(session, job_id).status


def event_kinds(database: Database, job_id: str) -> list[str]:
    with database.reading() as session:
        return [event.kind for event in store.events_after(session, job_id, 0)]
