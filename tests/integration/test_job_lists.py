"""Lists of jobs: search, tags, kinds, order and counts."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, update

from app.access.acting import act_for
from app.access.callers import Caller
from app.access.scopes import Scope, with_included
from app.api_models.labels import JobChanges, Labels
from app.database import Database
from app.finetune.config import FinetuneConfig
from app.jobs.search import JobFilter, Sort, count_jobs, find_jobs
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import submission, wishes
from app.main import create_app
from app.settings import Settings
from tests.integration.test_api import refused


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def submit(database: Database, *, owner: str = "anna", dataset: str = "orl16", **labels: Any) -> str:
    with database.writing() as session:
        act_for(session, Caller(owner, with_included([Scope.SUBMIT])))
        config = FinetuneConfig.model_validate({"dataset": dataset})
        return submission.submit(session, config, [], labels=Labels.model_validate(labels)).id


def found(database: Database, wanted: JobFilter, owner: str = "anna", sort: Sort = Sort.NEWEST) -> list[str]:
    """All pages of two jobs each."""
    ids, cursor = [], None
    while True:
        with database.reading() as session:
            act_for(session, Caller(owner, with_included([Scope.READ])))
            page = find_jobs(session, wanted, sort=sort, cursor=cursor, limit=2)
        ids += [job.id for job in page.jobs]
        if (cursor := page.next_cursor) is None:
            return ids


def test_a_search_finds_name_tag_dataset_and_id_in_any_case(database: Database) -> None:
    named = submit(database, name="Über 100% low_rate")
    tagged = submit(database, tags=["Sweep-A", "night"])
    other = submit(database, dataset="yale")
    expected: dict[str, list[str]] = {
        "üBER": [named],
        "100%": [named],
        "low_rate": [named],
        "lowxrate": [],  # no wildcard
        "sweep-a": [tagged],
        "YALE": [other],
        "orl": [tagged, named],
        other: [other],
        other[-6:].upper(): [other],
        "nobody": [],
    }
    assert {text: found(database, JobFilter(text=text)) for text in expected} == expected
    with database.writing() as session:
        wishes.change_labels(session, named, JobChanges(name="plain", tags=["night"]))
    assert found(database, JobFilter(text="über")) == []
    assert found(database, JobFilter(tags=["Night"])) == [tagged, named]
    assert found(database, JobFilter(tags=["night", "sweep-a"])) == [tagged]
    assert found(database, JobFilter(tags=["sweep"])) == []


def test_nobody_finds_or_counts_the_private_jobs_of_another(database: Database) -> None:
    mine, other = submit(database, name="same"), submit(database, owner="ben", name="same")
    shared = submit(database, owner="ben", name="same")
    with database.writing() as session:
        wishes.change_labels(session, shared, JobChanges(shared=True))
    for sort in Sort:
        assert found(database, JobFilter(text="same"), sort=sort) == [shared, mine]
    assert found(database, JobFilter(text=other)) == []
    with database.reading() as session:
        act_for(session, Caller("anna", with_included([Scope.READ])))
        assert count_jobs(session, JobFilter(text="same"))[JobStatus.QUEUED] == 2


def test_pages_of_each_order_have_each_job_once(database: Database) -> None:
    jobs = [submit(database) for _ in range(5)]
    figures = {jobs[0]: (0.5, 100.0), jobs[1]: (0.9, 30.0), jobs[3]: (0.5, 300.0)}
    with database.writing() as session:
        for job_id, (rate, seconds) in figures.items():
            after = {"tar_at_far_1_percent": rate}
            columns = {"recognition_after": after, "started_at": 1000.0, "finished_at": 1000.0 + seconds}
            session.execute(update(Job).where(col(Job.id) == job_id).values(columns))
        refused_rate = (
            update(Job).where(col(Job.id) == jobs[4]).values(recognition_after={"tar_at_far_1_percent": None})
        )
        session.execute(refused_rate)
    assert found(database, JobFilter()) == jobs[::-1]
    assert found(database, JobFilter(), sort=Sort.BEST) == [jobs[1], jobs[3], jobs[0], jobs[4], jobs[2]]
    assert found(database, JobFilter(), sort=Sort.LONGEST) == [jobs[3], jobs[0], jobs[1], jobs[4], jobs[2]]


def test_lists_and_counts_of_kinds(api: TestClient) -> None:
    tuning = api.post("/jobs", params={"name": "a", "tag": "x"}, json={"dataset": "faces"}).json()["id"]
    evaluation = api.post("/evaluations", json={"dataset": "faces"}).json()["id"]
    dry_run = api.post("/jobs?dry_run=estimate", json={"dataset": "faces"}).json()["id"]
    api.post(f"/jobs/{evaluation}/cancel")

    def listed(**params: Any) -> list[str]:
        return [job["id"] for job in api.get("/jobs", params=params).json()["jobs"]]

    assert listed() == [tuning]
    assert listed(kind="all") == [dry_run, evaluation, tuning]
    assert listed(kind=["evaluation", "measurement"]) == [dry_run, evaluation]
    assert listed(kind="all", status="queued") == [dry_run, tuning]
    assert listed(kind="all", tag="x", q="FACES") == [tuning]
    counts = api.get("/jobs/counts", params={"kind": "all"}).json()
    assert counts["total"] == 3
    assert {status: number for status, number in counts["by_status"].items() if number} == {"queued": 2, "cancelled": 1}
    assert counts["by_status"].keys() == set(JobStatus)
    assert api.get("/jobs/counts").json()["total"] == 1


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({"kind": "training"}, "query.kind.0", "'training' is none of finetuning"),
        ({"sort": "oldest"}, "query.sort", "must be newest, best or longest"),
        ({"q": "x" * 201}, "query.q", "must have at most 200 characters"),
        ({"q": "a\x00"}, "query.q", "must not contain a control character"),
        ({"tag": ""}, "query.tag.0", "must not be empty"),
    ],
)
def test_a_filter_that_is_none_is_refused_by_name(api: TestClient, params: Any, field: str, message: str) -> None:
    problem = refused(api.get("/jobs", params=params), 422, "request_invalid")
    (error,) = problem["errors"]
    assert error["field"] == field
    assert message in error["message"]


def test_a_cursor_of_another_order_is_refused(api: TestClient) -> None:
    for params in ({"cursor": "20"}, {"cursor": "a" * 24, "sort": "best"}, {"cursor": "1" * 10, "sort": "longest"}):
        refused(api.get("/jobs", params=params), 422, "cursor_invalid")
