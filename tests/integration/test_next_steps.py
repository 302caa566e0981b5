"""What a refusal advises is accepted: for each status of a job and each action on it."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, delete

from app.database import Database
from app.finetune.events import EvaluationStarted
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact
from app.jobs.transitions import attempts, recording, wishes
from app.jobs.transitions.fence import Claim
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import begin, claim, job_that_is, save_state, submit, write_checkpoint

ACTIONS = {
    "cancel": ("POST", "/cancel"),
    "forced cancel": ("POST", "/cancel?force=true"),
    "pause": ("POST", "/pause"),
    "resume": ("POST", "/resume"),
    "retry": ("POST", "/retry"),
    "retry from the start": ("POST", "/retry?from=start"),
    "pin": ("POST", "/pin"),
    "checkpoint": ("GET", "/checkpoint"),
    "evaluation": ("GET", "/evaluation"),
    "report": ("GET", "/report"),
}
ADVISED = re.compile(r"POST (/jobs/\w+/\w+(?:\?from=start)?)")
OTHER_STEPS = (
    "submit its config again",
    "try again in a few seconds",
    "warnings",
    "GET /jobs/{id}/events",
    "doctor",
    "pin it after",
)


@pytest.fixture
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    path = tmp_path / "edgeface.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def api(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    # No worker saves a state here: the answer to a pause need not wait for one.
    monkeypatch.setattr("app.routes.actions.PAUSE_ANSWER_SECONDS", 0.0)
    with TestClient(create_app(Settings(var_dir=tmp_path / "var", database_url=database_url))) as client:
        yield client


def bare(database: Database, state: JobStatus) -> str:
    """A job of this status that has saved nothing."""
    return job_that_is(database, state)


def with_files(database: Database, state: JobStatus) -> str:
    """A job of this status, or running in place of preparing, that has saved a state and a checkpoint."""
    submit(database)
    held = claim(database)
    begin(database, held, None)
    with database.writing() as session:
        recording.record_running(session, held, EvaluationStarted("cpu"))
    best = write_checkpoint(database, held, 1)
    save_state(database, held, 2, 1, checkpoint=best)
    _bring_to(database, held, state)
    return held.job_id


def with_checkpoint_alone(database: Database, state: JobStatus) -> str:
    """As `with_files`, after retention has deleted the states."""
    job_id = with_files(database, state)
    with database.writing() as session:
        session.execute(delete(Artifact).where(col(Artifact.job_id) == job_id, col(Artifact.kind) == "state"))
    return job_id


def _bring_to(database: Database, held: Claim, state: JobStatus) -> None:
    with database.writing() as session:
        if state in (JobStatus.PAUSED, JobStatus.PAUSING):
            wishes.request_pause(session, held.job_id)
        if state in (JobStatus.CANCELLED, JobStatus.CANCELLING):
            wishes.request_cancel(session, held.job_id)
        if state in (JobStatus.PAUSED, JobStatus.QUEUED, JobStatus.CANCELLED):
            attempts.hand_back(session, held, "stopped")
        if state in (JobStatus.SUCCEEDED, JobStatus.FAILED):
            attempts.finish(session, held, state)


def settle(database: Database, job_id: str) -> None:
    """As the worker does some seconds after a cancel or a pause."""
    with database.writing() as session:
        job = queries.get(session, job_id)
        if job.status in (JobStatus.CANCELLING, JobStatus.PAUSING):
            attempts.hand_back(session, Claim(job.id, job.attempt, job.worker_id or ""), "stopped")


def end(database: Database, job_id: str) -> None:
    """Cancel the job, so that no worker claims it in place of the next one."""
    with database.writing() as session:
        wishes.request_cancel(session, job_id, force=True)


def act(api: TestClient, job_id: str, action: str) -> httpx2.Response:
    method, path = ACTIONS[action]
    return api.request(method, f"/jobs/{job_id}{path}")


MADE: tuple[Callable[[Database, JobStatus], str], ...] = (bare, with_files, with_checkpoint_alone)


@pytest.mark.parametrize("state", JobStatus)
@pytest.mark.parametrize("made", MADE, ids=lambda made: made.__name__)
def test_what_a_refusal_advises_is_accepted(
    made: Callable[[Database, JobStatus], str], state: JobStatus, api: TestClient, database: Database
) -> None:
    refusals = 0
    for action in ACTIONS:
        job_id = made(database, state)
        answer = act(api, job_id, action)
        if answer.is_error:
            refusals += 1
            assert_advice_is_accepted(api, database, job_id, answer.json()["hint"])
        end(database, job_id)
    assert refusals > 0


def assert_advice_is_accepted(api: TestClient, database: Database, job_id: str, hint: str) -> None:
    advised = ADVISED.findall(hint)
    assert advised or any(step in hint for step in OTHER_STEPS), hint
    settle(database, job_id)
    for path in advised:
        followed = api.post(path)
        if followed.status_code == 409:  # a second step: as it says, in its turn
            (second,) = ADVISED.findall(followed.json()["hint"])
            followed = api.post(second)
        assert followed.is_success, (hint, followed.text)


@pytest.mark.parametrize("action", ["retry", "retry from the start"])
@pytest.mark.parametrize("made", MADE, ids=lambda made: made.__name__)
def test_a_job_that_succeeded_is_submitted_again_not_retried(
    made: Callable[[Database, JobStatus], str], action: str, api: TestClient, database: Database
) -> None:
    job_id = made(database, JobStatus.SUCCEEDED)
    problem = act(api, job_id, action).json()
    assert problem["code"] == "job_not_retryable"
    assert problem["hint"] == "it has ended; submit its config again for another run"
