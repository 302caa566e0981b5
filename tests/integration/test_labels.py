"""Name, tags and notes of jobs: given at submission, changed at any time, no part of the config."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from app.access.tables import AuditEntry
from app.api_models.labels import JobChanges, Labels
from app.database import Database
from app.jobs.transitions import submission, wishes
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import CONFIG, job_of
from tests.integration.test_api import refused, service

LABELS = {"name": "ORL, low rate", "tags": ["orl", "Grüße"], "notes": "first try\nsecond line"}
QUERY = {"name": LABELS["name"], "tag": LABELS["tags"], "notes": LABELS["notes"]}


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def labels_of(job: dict[str, Any]) -> dict[str, Any]:
    return {field: job[field] for field in LABELS}


@pytest.mark.parametrize(
    ("path", "config"),
    [
        ("/jobs", {"dataset": "faces"}),
        ("/jobs?dry_run=estimate", {"dataset": "faces"}),
        ("/evaluations", {"dataset": "faces"}),
        ("/dsr-trainings", {"dataset": "faces"}),
        ("/datasets", {"dataset": "faces"}),
    ],
)
def test_a_job_of_any_kind_is_submitted_with_labels(api: TestClient, path: str, config: dict[str, Any]) -> None:
    answer = api.post(path, params={**QUERY, **({"dry_run": "estimate"} if "?" in path else {})}, json=config)
    assert answer.is_success, answer.text
    body = answer.json()
    job = api.get(f"/jobs/{body['check']['job'] if path == '/datasets' else body['id']}").json()
    assert labels_of(job) == LABELS
    assert not {"tag", "tags", "notes"} & job["config"].keys()


def test_a_job_without_labels_has_empty_ones(api: TestClient) -> None:
    job = api.post("/jobs", json={"dataset": "faces"}).json()
    assert labels_of(job) == {"name": "", "tags": [], "notes": ""}


def test_labels_are_changed_one_by_one_and_the_audit_names_the_fields(api: TestClient) -> None:
    job = api.post("/jobs", params=QUERY, json={"dataset": "faces"}).json()
    path = f"/jobs/{job['id']}"
    assert api.post(f"{path}/cancel").json()["status"] == "cancelled"
    renamed = api.patch(path, json={"name": "  other  ", "tags": ["b", "a", "b"]}).json()
    assert labels_of(renamed) == {**LABELS, "name": "other", "tags": ["b", "a"]}
    assert renamed["config"] == job["config"]
    both = api.patch(path, json={"notes": "", "shared": True}).json()
    assert labels_of(both) == {"name": "other", "tags": ["b", "a"], "notes": ""}
    assert both["shared"] is True
    assert api.get(path).json() == both
    with service(api).database.reading() as session:
        entries = [(each.action, each.details) for each in session.exec(select(AuditEntry)) if each.target == path]
    assert entries[2:] == [
        ("label", {"fields": ["name", "tags"]}),
        ("share", {}),
        ("label", {"fields": ["notes"]}),
    ]


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({}, "body", "set at least one of name, notes, shared, tags"),
        ({"name": "x" * 101}, "name", "must have at most 100 characters"),
        ({"name": "two\nlines"}, "name", "must not contain a control character, such as a line break"),
        ({"name": None}, "name", "must be text"),
        ({"tags": ["x"] * 21}, "tags", "must have at most 20 values"),
        ({"tags": ["ok", " "]}, "tags.1", "must not be empty"),
        ({"tags": ["x" * 41]}, "tags.0", "must have at most 40 characters"),
        ({"tags": "one"}, "tags", "must be a list"),
        ({"notes": "x" * 4001}, "notes", "must have at most 4000 characters"),
        ({"notes": "a\x00b"}, "notes", "must not contain a control character other than a line break and a tab"),
        ({"titel": "x"}, "titel", "there is no such field"),
        ({"shared": "yes"}, "shared", "must be true or false"),
    ],
)
def test_labels_that_are_none_are_refused_by_field(
    api: TestClient, changes: dict[str, Any], field: str, message: str
) -> None:
    job = api.post("/jobs", params=QUERY, json={"dataset": "faces"}).json()
    problem = refused(api.patch(f"/jobs/{job['id']}", json=changes), 422, "request_invalid")
    (error,) = problem["errors"]
    assert error["field"] == field
    assert message in error["message"]
    assert labels_of(api.get(f"/jobs/{job['id']}").json()) == LABELS


def test_a_submission_with_labels_that_are_none_queues_nothing(api: TestClient) -> None:
    for query, field in (({"name": "x" * 101}, "query.name"), ({"tag": ["a", "b\nc"]}, "query.tag.1")):
        problem = refused(api.post("/jobs", params=query, json={"dataset": "faces"}), 422, "request_invalid")
        assert [error["field"] for error in problem["errors"]] == [field]
    assert api.get("/jobs").json()["jobs"] == []


def test_a_repeated_submission_answers_with_the_labels_that_the_job_has(api: TestClient) -> None:
    key = {"Idempotency-Key": "once"}
    job = api.post("/jobs", params=QUERY, json={"dataset": "faces"}, headers=key).json()
    api.patch(f"/jobs/{job['id']}", json={"name": "renamed"})
    again = api.post("/jobs", params={"name": "another"}, json={"dataset": "faces"}, headers=key)
    assert (again.status_code, again.json()["id"], again.json()["name"]) == (200, job["id"], "renamed")


def test_labels_are_kept_by_both_databases(database: Database) -> None:
    with database.writing() as session:
        job_id = submission.submit(session, CONFIG, [], labels=Labels.model_validate(LABELS)).id
    assert {field: getattr(job_of(database, job_id), field) for field in LABELS} == LABELS
    with database.writing() as session:
        wishes.change_labels(session, job_id, JobChanges(tags=["🙂"]))
    job = job_of(database, job_id)
    assert (job.name, job.tags, job.shared) == (LABELS["name"], ["🙂"], False)
