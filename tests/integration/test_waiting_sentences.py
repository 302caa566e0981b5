"""What a job waits for is a sentence wherever it is shown: `waits for a worker, but ...`."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import update

from app.api_models.job import JobView
from app.cli.event_lines import event_line
from app.cli.live import status_lines
from app.database import Database
from app.finetune.errors import EdgefaceError
from app.finetune.training_errors import DiskFull
from app.jobs.attempt_errors import FilesAway
from app.jobs.errors import StoredFileMissing
from app.jobs.states import JobStatus
from app.jobs.tables import WorkerSeen
from app.jobs.transitions import attempts, rounds
from app.jobs.waiting import reason_after
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import LOST, cancelling, claim, job_that_is, paused, pausing, running, submit

SENTENCE = re.compile(r"waits for (a|its|the|disk space|\d+ jobs)\b[^;]*(; and for (a|its|the) [^;]*)?")
SPACE = "disk space: the job needs 3 TB free in /var"


@pytest.fixture
def api(tmp_path: Path, database_url: str) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(var_dir=tmp_path / "var", database_url=database_url))) as client:
        yield client


@pytest.fixture
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    path = tmp_path / "edgeface.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


def see_worker(database: Database, seconds_ago: float = 0.0) -> None:
    with database.writing() as session:
        rounds.report_worker(session, "worker-1", "here")
        session.flush()
        session.execute(update(WorkerSeen).values(seen_at=WorkerSeen.seen_at - seconds_ago))


def no_worker_ever(database: Database) -> str:
    return submit(database)


def no_worker_for_a_while(database: Database) -> str:
    see_worker(database, seconds_ago=100.0)
    return submit(database)


def next_in_the_queue(database: Database) -> str:
    see_worker(database)
    return submit(database)


def second_in_the_queue(database: Database) -> str:
    next_in_the_queue(database)
    return submit(database)


def third_in_the_queue(database: Database) -> str:
    second_in_the_queue(database)
    return submit(database)


def no_space(database: Database) -> str:
    job_id = next_in_the_queue(database)
    with database.writing() as session:
        rounds.note_waiting(session, job_id, SPACE)
    return job_id


def no_space_and_no_worker(database: Database) -> str:
    job_id = submit(database)
    with database.writing() as session:
        rounds.note_waiting(session, job_id, SPACE)
    return job_id


def lost_twice(database: Database) -> str:
    see_worker(database)
    held = running(database)
    policy = attempts.LossPolicy(max_losses=9, backoff_seconds=0.0)
    with database.writing() as session:
        attempts.lose_trainer(session, held, LOST, policy)
    held = claim(database)
    with database.writing() as session:
        attempts.lose_trainer(session, held, LOST, attempts.LossPolicy(max_losses=9, backoff_seconds=100.0))
    return held.job_id


def handed_back(error: EdgefaceError) -> Callable[[Database], str]:
    def make(database: Database) -> str:
        see_worker(database)
        held = running(database)
        with database.writing() as session:
            waits_for = reason_after(error.report())
            attempts.hand_back(session, held, error.message, retry_in=30.0, waits_for=waits_for)
        return held.job_id

    return make


CASES: dict[str, Callable[[Database], str]] = {
    "no worker ever": no_worker_ever,
    "no worker for a while": no_worker_for_a_while,
    "next": next_in_the_queue,
    "second": second_in_the_queue,
    "third": third_in_the_queue,
    "no space": no_space,
    "no space and no worker": no_space_and_no_worker,
    "lost twice": lost_twice,
    "disk full": handed_back(DiskFull(Path("/var/state.pth"))),
    "files away": handed_back(FilesAway("0123", Path("/artifacts"))),
    "file missing": handed_back(StoredFileMissing(Path("/artifacts/backbone.pth"))),
    "paused": lambda database: paused(database).job_id,
    "pausing": lambda database: pausing(database).job_id,
    "cancelling": lambda database: cancelling(database).job_id,
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_job_waits_for_follows_waits_for(case: str, api: TestClient, database: Database) -> None:
    job = JobView.model_validate(api.get(f"/jobs/{CASES[case](database)}").json())
    assert job.waiting_sentence == f"waits for {job.waiting_for}"
    assert SENTENCE.match(job.waiting_sentence), job.waiting_sentence
    assert "for no " not in job.waiting_sentence
    assert job.waiting_sentence in status_lines(job)
    events = api.get(f"/jobs/{job.id}/events").json()["events"]
    for event in events:
        if event["kind"] == "waiting":
            assert f"waits for {event['data']['reason']}" == f"waits for {SPACE}"


@pytest.mark.parametrize(
    "state", [JobStatus.PREPARING, JobStatus.RUNNING, *(each for each in JobStatus if each.terminal)]
)
def test_a_job_that_runs_or_has_ended_waits_for_nothing(state: JobStatus, api: TestClient, database: Database) -> None:
    job = JobView.model_validate(api.get(f"/jobs/{job_that_is(database, state)}").json())
    assert (job.waiting_for, job.waiting_sentence) == (None, None)
    assert event_line(None) is None
