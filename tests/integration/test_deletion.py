"""DELETE /jobs/{id}: what may be deleted, what is named first, what is left, and what a crash leaves."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import SQLModel, col, select, update

import app.routes.jobs
from app.access.tables import AuditEntry
from app.cleaner import clean
from app.database import Database, database_now
from app.deletion import Freed
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_kinds import EVALUATION
from app.finetune.listing import Listing
from app.jobs import queries
from app.jobs.deletion import KEEP_SECONDS, clean_deleted, delete_job
from app.jobs.errors import JobDeleted, JobInUse, NotDeletable
from app.jobs.states import TERMINAL, JobStatus
from app.jobs.tables import Dataset, DeletedJob, Job, UploadedInput
from app.jobs.transitions import submission
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import CONFIG, job_that_is, submit
from tests.integration.test_api import end, publish, refused, run, service

CONTENT = b"a checkpoint"


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def ended(api: TestClient, settings: Settings) -> str:
    """A succeeded fine-tuning with a checkpoint, and an Idempotency-Key."""
    headers = {"Idempotency-Key": "once"}
    job_id: str = api.post("/jobs?name=first", json={"dataset": "faces"}, headers=headers).json()["id"]
    claim = run(service(api).database)
    publish(service(api).database, settings, claim, CONTENT)
    end(service(api).database, claim, JobStatus.SUCCEEDED)
    return job_id


def rows_that_name(database: Database, job_id: str) -> set[str]:
    """The tables in which a value of a row has the id."""
    with database.engine.connect() as connection:
        return {
            table.name
            for table in SQLModel.metadata.sorted_tables
            if any(job_id in str(row) for row in connection.execute(table.select()))
        }


def test_a_deleted_job_is_gone_with_its_files_and_only_the_audit_names_it(
    api: TestClient, settings: Settings, ended: str
) -> None:
    before = api.get(f"/jobs/{ended}").json()
    other = api.post("/jobs", json={"dataset": "faces"}).json()["id"]
    assert (settings.artifacts_dir / ended).is_dir()
    assert api.delete(f"/jobs/{ended}").json() == before
    for path in ("", "/metrics", "/events", "/checkpoint", "/attempts"):
        refused(api.get(f"/jobs/{ended}{path}"), 404, "job_not_found")
    refused(api.delete(f"/jobs/{ended}"), 404, "job_not_found")
    assert [job["id"] for job in api.get("/jobs").json()["jobs"]] == [other]
    assert not (settings.artifacts_dir / ended).exists()
    database = service(api).database
    assert rows_that_name(database, ended) == {"auditentry", "deletedjob"}
    with database.reading() as session:
        entry = session.exec(select(AuditEntry).order_by(col(AuditEntry.id).desc())).first()
    assert entry is not None
    assert (entry.action, entry.target) == ("delete", f"/jobs/{ended}")
    assert entry.details == {"name": "first", "kind": "finetuning", "force": False}


@pytest.mark.parametrize("state", JobStatus)
def test_only_a_job_that_has_ended_is_deleted(database: Database, state: JobStatus) -> None:
    job_id = job_that_is(database, state)
    if state in TERMINAL:
        with database.writing() as session:
            assert delete_job(session, job_id).id == job_id
        return
    with database.writing() as session, pytest.raises(NotDeletable, match=state):
        delete_job(session, job_id, force=True)
    with database.reading() as session:
        assert queries.get(session, job_id).status == state


def test_what_needs_the_job_is_named_before_it_is_deleted(api: TestClient, settings: Settings, ended: str) -> None:
    weights = {"dataset": "faces", "edgeface": f"job:{ended}"}
    with service(api).database.writing() as session:
        evaluation = submission.submit(session, EvaluationConfig.model_validate(weights), [], kind=EVALUATION).id
    api.post(f"/jobs/{ended}/pin")
    problem = refused(api.delete(f"/jobs/{ended}"), 409, "job_in_use")
    assert f"1 job ({evaluation}) named its weights; 1 checkpoint of it is pinned" in problem["detail"]
    assert "?force=true" in problem["hint"]
    assert (settings.artifacts_dir / ended).is_dir()
    assert api.delete(f"/jobs/{ended}?force=true").status_code == 200
    refused(api.post("/evaluations", json=weights), 422, "weights_job_not_found")
    assert api.get(f"/jobs/{evaluation}").status_code == 200


def test_datasets_of_the_job_are_named_and_stay(database: Database) -> None:
    job_id = job_that_is(database, JobStatus.SUCCEEDED)
    with database.writing() as session:
        session.add(
            UploadedInput(kind="dataset", name="mine", owner="a", size=1, sha256="0", created_at=0, job_id=job_id)
        )
        record = Dataset(
            id="d" * 24,
            name="mine",
            subject_pattern="guide",
            registered_at=0.0,
            listed_at=0.0,
            checked_at=1.0,
            listing=Listing(parts={}),
            check_job_id=job_id,
        )
        session.add(record)
    with database.writing() as session, pytest.raises(JobInUse) as refusal:
        delete_job(session, job_id)
    assert "it made the dataset mine; it is the last check of the dataset mine" in refusal.value.message
    with database.writing() as session:
        delete_job(session, job_id, force=True)
    with database.reading() as session:
        assert session.exec(select(UploadedInput)).one().job_id is None
        assert session.exec(select(Dataset)).one().check_job_id is None


def test_a_repeated_submission_makes_no_second_job_of_a_deleted_one(
    api: TestClient, database: Database, ended: str, settings: Settings
) -> None:
    again = {"json": {"dataset": "faces"}, "headers": {"Idempotency-Key": "once"}}
    assert api.post("/jobs", **again).json()["id"] == ended  # type: ignore[arg-type]
    api.delete(f"/jobs/{ended}")
    problem = refused(api.post("/jobs", **again), 409, "job_deleted")  # type: ignore[arg-type]
    assert ended in problem["detail"]
    of_api = service(api).database
    with of_api.writing() as session:
        session.execute(update(DeletedJob).values(deleted_at=database_now() - KEEP_SECONDS - 1))
    clean(of_api, settings)
    assert api.post("/jobs", **again).status_code == 201  # type: ignore[arg-type]

    job_id = submit(database, idempotency_key="monday")
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(status=JobStatus.FAILED))
        delete_job(session, job_id)
    with database.reading() as session, pytest.raises(JobDeleted):
        submission.find_repeated(session, "monday", CONFIG)


def test_a_deletion_that_is_interrupted_before_the_commit_deletes_nothing(
    api: TestClient, settings: Settings, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = api.get(f"/jobs/{ended}").json()

    def die(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    monkeypatch.setattr(app.routes.jobs, "note", die)
    with pytest.raises(RuntimeError):
        api.delete(f"/jobs/{ended}")
    assert api.get(f"/jobs/{ended}").json() == before
    assert api.get(f"/jobs/{ended}/checkpoint").content == CONTENT
    assert (settings.artifacts_dir / ended).is_dir()


def test_a_folder_left_by_a_killed_deletion_is_found_and_deleted(
    api: TestClient, settings: Settings, ended: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(_: Path, __: str) -> Freed:
        raise RuntimeError("killed after the commit")

    monkeypatch.setattr(app.routes.jobs, "delete_folder", die)
    with pytest.raises(RuntimeError):
        api.delete(f"/jobs/{ended}")
    refused(api.get(f"/jobs/{ended}"), 404, "job_not_found")
    assert (settings.artifacts_dir / ended).is_dir()
    database = service(api).database
    assert clean_deleted(database, settings.artifacts_dir) == Freed(2, 2 * len(CONTENT))
    assert not (settings.artifacts_dir / ended).exists()
