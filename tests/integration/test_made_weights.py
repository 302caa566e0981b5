"""`job:ID`, the weights that a job made, whoever names them and whatever is cleaned up meanwhile."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.cleaner import clean
from app.database import Database
from app.finetune.config import FinetuneConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import DRY_RUN, EVALUATION, FINETUNING, kind_of
from app.jobs import made_weights
from app.jobs.errors import WeightsNotKept
from app.jobs.retention import Retention, clean_job
from app.jobs.states import JobStatus
from app.jobs.transitions import submission, wishes
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import job_of
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.job_files import JobFiles

OLD = Retention(states=0.0, checkpoints=1.0)
"""Seconds."""


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    settings = Settings(var_dir=tmp_path / "var", database_url=database_url, keep_checkpoints_days=1)
    settings.make_directories()
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def made(database: Database, settings: Settings) -> JobFiles:
    """A fine-tuning that succeeded long ago and made real weights."""
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1, backbone_bytes=(settings.weights_dir / "edgeface_xxs.pt").read_bytes())
    job.end(JobStatus.SUCCEEDED, days_ago=30)
    return job


@pytest.fixture
def api(settings: Settings, database: Database) -> Iterator[TestClient]:  # noqa: ARG001 - it is migrated
    with TestClient(create_app(settings)) as client:
        yield client


def submit(database: Database, kind: str, **fields: Any) -> str:
    contract = EvaluationConfig if kind == EVALUATION else FinetuneConfig
    config: JobConfig = contract.model_validate({"dataset": "faces", **fields})
    with database.writing() as session:
        made_weights.hold_named(session, kind_of(kind), config.model_dump(mode="json"))
        return submission.submit(session, config, [], kind=kind).id


def is_kept(job: JobFiles) -> bool:
    clean_job(job.database, job.artifacts_dir, job.id, OLD)
    there = (job.artifacts_dir / f"{job.id}/attempt-1/best-epoch-001/edgeface_backbone.pth").exists()
    assert there == (job.row().checkpoint is not None)
    return there


@pytest.mark.parametrize(
    ("path", "field"), [("/jobs", "edgeface"), ("/evaluations", "edgeface"), ("/evaluations", "before")]
)
def test_the_weights_of_a_job_are_named_as_any_others(api: TestClient, made: JobFiles, path: str, field: str) -> None:
    answer = api.post(path, json={"dataset": "faces", field: f"job:{made.id}"})
    assert answer.status_code == 201, answer.text
    assert answer.json()["config"][field] == f"job:{made.id}"
    assert api.post(path, json=answer.json()["config"]).status_code == 201
    if path == "/jobs":
        assert api.post("/jobs?dry_run=true", json=answer.json()["config"]).status_code == 200


@pytest.mark.parametrize(
    ("name", "fields", "code", "says"),
    [
        ("job:nobody", {}, "weights_job_not_found", "there is no job 'nobody'"),
        ("job:", {}, "weights_job_not_found", "there is no job ''"),
        ("job:../edgeface_xxs.pt", {}, "weights_job_not_found", "there is no job"),
        ("queued", {}, "weights_not_ready", "is queued"),
        ("failed", {}, "weights_not_ready", "is failed"),
        ("cancelled", {}, "weights_not_ready", "is cancelled"),
        ("evaluation", {}, "weights_not_of_kind", "of the kind evaluation, which creates no EdgeFace weights"),
        ("dry_run", {}, "weights_not_of_kind", "of the kind dry_run"),
        ("made", {"field": "dsr"}, "weights_not_of_kind", "of the kind finetuning, which creates no DSR weights"),
        ("expired", {}, "weights_not_kept", "are deleted"),
    ],
)
@pytest.mark.parametrize("path", ["/jobs", "/evaluations"])
def test_a_job_that_has_no_such_weights_is_refused_by_field(
    api: TestClient,
    database: Database,
    settings: Settings,
    made: JobFiles,
    path: str,
    name: str,
    fields: dict[str, str],
    code: str,
    says: str,
) -> None:
    makers: dict[str, Callable[[], str]] = {
        "queued": lambda: submit(database, FINETUNING),
        "failed": lambda: ended(database, settings, JobStatus.FAILED),
        "cancelled": lambda: ended(database, settings, JobStatus.CANCELLED),
        "evaluation": lambda: submit(database, EVALUATION),
        "dry_run": lambda: submit(database, DRY_RUN),
        "made": lambda: made.id,
        "expired": lambda: made.id if not is_kept(made) else "it should have expired",
    }
    named = name if name.startswith("job:") else f"job:{makers[name]()}"
    field = fields.get("field", "edgeface")
    answer = api.post(path, json={"dataset": "faces", field: named})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert (problem["code"], problem["blame"]) == (code, "request")
    assert problem["hint"]
    assert [each["field"] for each in problem["errors"]] == [field]
    assert says in problem["detail"]


def ended(database: Database, settings: Settings, status: JobStatus) -> str:
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1)
    job.end(status)
    return job.id


def test_a_file_that_is_gone_from_the_disk_is_said_to_be(api: TestClient, made: JobFiles) -> None:
    for path in made.artifacts_dir.rglob("edgeface_backbone.pth"):
        path.unlink()
    answer = api.post("/jobs", json={"dataset": "faces", "edgeface": f"job:{made.id}"})
    assert (answer.status_code, answer.json()["code"]) == (410, "file_missing")


def test_what_is_no_such_weights_is_refused_as_in_any_file(
    api: TestClient, database: Database, settings: Settings
) -> None:
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1, backbone_bytes=b"no weights")
    job.end(JobStatus.SUCCEEDED)
    answer = api.post("/jobs", json={"dataset": "faces", "edgeface": f"job:{job.id}"})
    assert (answer.status_code, answer.json()["code"]) == (422, "weights_unreadable")


@pytest.mark.parametrize(
    ("kind", "field"),
    [(FINETUNING, "edgeface"), (DRY_RUN, "edgeface"), (EVALUATION, "edgeface"), (EVALUATION, "before")],
)
def test_what_a_job_names_stays_until_that_job_has_ended(
    database: Database, made: JobFiles, kind: str, field: str
) -> None:
    naming = submit(database, kind, **{field: f"job:{made.id}"})
    assert is_kept(made)
    with database.writing() as session:
        wishes.request_pause(session, naming)
    assert is_kept(made)
    with database.writing() as session:
        wishes.request_cancel(session, naming)
    assert not is_kept(made)


def test_the_cleaner_asks_as_well(database: Database, settings: Settings, made: JobFiles) -> None:
    naming = submit(database, FINETUNING, edgeface=f"job:{made.id}")
    assert clean(database, settings).files == 0
    with database.writing() as session:
        wishes.request_cancel(session, naming)
    assert clean(database, settings).files == 2


def test_what_a_job_names_that_can_go_on_from_its_state_stays(
    database: Database, settings: Settings, made: JobFiles
) -> None:
    naming = JobFiles(database, settings.artifacts_dir, edgeface=f"job:{made.id}")
    naming.checkpoint(1)
    naming.state(1)
    naming.end(JobStatus.FAILED, days_ago=2)
    assert is_kept(made)
    clean_job(database, settings.artifacts_dir, naming.id, OLD)
    assert not is_kept(made)


def test_a_retry_whose_named_weights_are_gone_is_refused(api: TestClient, database: Database, made: JobFiles) -> None:
    naming = submit(database, EVALUATION, edgeface=f"job:{made.id}")
    with database.writing() as session:
        wishes.request_cancel(session, naming)
    assert not is_kept(made)
    answer = api.post(f"/jobs/{naming}/retry")
    assert (answer.status_code, answer.json()["code"]) == (422, "weights_not_kept")
    assert job_of(database, naming).status == JobStatus.CANCELLED


@pytest.mark.postgresql
def test_no_clean_up_comes_between_the_check_and_the_queue(database: Database, made: JobFiles) -> None:
    config = FinetuneConfig.model_validate({"dataset": "faces", "edgeface": f"job:{made.id}"})
    with ThreadPoolExecutor(1) as pool:
        with database.writing() as session:
            made_weights.hold_named(session, kind_of(FINETUNING), config.model_dump(mode="json"))
            cleaning = pool.submit(is_kept, made)
            with pytest.raises(TimeoutError):
                cleaning.result(timeout=0.5)
            submission.submit(session, config, [])
        assert cleaning.result()


@pytest.mark.postgresql
def test_what_was_cleaned_up_after_the_check_queues_nothing(database: Database, made: JobFiles) -> None:
    assert not is_kept(made)
    with pytest.raises(WeightsNotKept):
        submit(database, FINETUNING, edgeface=f"job:{made.id}")
