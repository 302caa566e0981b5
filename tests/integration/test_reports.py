"""What was measured after a training, as the API serves it."""

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_kinds import DRY_RUN, EVALUATION
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, submission
from app.main import create_app
from app.settings import Settings
from tests.support.job_files import CONFIG, JobFiles


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    return Settings(var_dir=var_dir)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def job(api: TestClient, settings: Settings) -> JobFiles:
    return JobFiles(cast("FastAPI", api.app).state.service.database, settings.artifacts_dir)


def test_the_report_is_a_page_that_may_fetch_nothing(api: TestClient, job: JobFiles) -> None:
    job.checkpoint(3)
    job.evaluation(3)
    answer = api.get(f"/jobs/{job.id}/report")
    assert answer.status_code == 200
    assert answer.text == "<!doctype html>epoch 3"
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "content-disposition" not in answer.headers, "a page to look at, not to save"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_evaluation_is_json(api: TestClient, job: JobFiles) -> None:
    job.evaluation(3)
    answer = api.get(f"/jobs/{job.id}/evaluation")
    assert answer.json() == {"epoch": 3}
    assert answer.headers["content-type"] == "application/json"


def test_that_of_the_newest_attempt_is_served(api: TestClient, job: JobFiles) -> None:
    job.evaluation(1)
    with job.database.writing() as session:
        attempts.hand_back(session, job.claim, "stopped")
    job.claim_again()
    job.evaluation(2)
    assert api.get(f"/jobs/{job.id}/report").text.endswith("epoch 2")


@pytest.mark.parametrize("kind", ["report", "evaluation"])
def test_before_it_is_there_the_answer_says_when_it_comes(api: TestClient, job: JobFiles, kind: str) -> None:
    early = api.get(f"/jobs/{job.id}/{kind}")
    assert (early.status_code, early.json()["code"]) == (409, "not_evaluated")
    assert "when the job ends" in early.json()["hint"]
    job.end(JobStatus.FAILED)
    late = api.get(f"/jobs/{job.id}/{kind}")
    assert (late.status_code, late.json()["code"]) == (409, "not_evaluated")
    assert "give the reason" in late.json()["hint"]
    assert api.get(f"/jobs/nobody/{kind}").json()["code"] == "job_not_found"


def submit(job: JobFiles, kind: str) -> str:
    config = EvaluationConfig(eval_dir="faces") if kind == EVALUATION else CONFIG
    with job.database.writing() as session:
        return submission.submit(session, config, [], kind=kind).id


@pytest.mark.parametrize("kind", ["report", "evaluation"])
def test_a_dry_run_has_no_evaluation(api: TestClient, job: JobFiles, kind: str) -> None:
    answer = api.get(f"/jobs/{submit(job, DRY_RUN)}/{kind}").json()
    assert "is a dry run" in answer["detail"]
    assert "`estimate`" in answer["hint"]
    assert "when the job ends" not in answer["hint"]


def test_an_evaluation_that_is_without_one_says_how_to_get_another(api: TestClient, job: JobFiles) -> None:
    path = f"/jobs/{submit(job, EVALUATION)}"
    assert "when the job ends" in api.get(f"{path}/report").json()["hint"]
    api.post(f"{path}/cancel")
    hint = api.get(f"{path}/report").json()["hint"]
    assert "POST /evaluations" in hint
    assert "checkpoint" not in hint


@pytest.mark.parametrize(
    ("kind", "without"),
    [
        (DRY_RUN, {"checkpoint", "pin", "report", "evaluation"}),
        (EVALUATION, {"checkpoint", "pin"}),
    ],
)
def test_a_job_links_to_nothing_that_its_kind_never_has(
    api: TestClient, job: JobFiles, kind: str, without: set[str]
) -> None:
    of_training, links = (api.get(f"/jobs/{id_}").json()["links"] for id_ in (job.id, submit(job, kind)))
    assert of_training.keys() - links.keys() == without


def test_the_job_links_to_both_and_lists_their_files(api: TestClient, job: JobFiles) -> None:
    job.evaluation(3)
    view = api.get(f"/jobs/{job.id}").json()
    urls = [f"/jobs/{job.id}/evaluation", f"/jobs/{job.id}/report"]
    assert [view["links"][kind] for kind in ("evaluation", "report")] == urls
    assert [(file["kind"], file["content"], file["url"]) for file in view["files"]] == [
        ("best", "evaluation", urls[0]),
        ("best", "report", urls[1]),
    ]


def test_a_file_that_is_gone_is_told_so(api: TestClient, job: JobFiles) -> None:
    for path in job.evaluation(3):
        path.unlink()
    for kind in ("report", "evaluation"):
        answer = api.get(f"/jobs/{job.id}/{kind}")
        assert (answer.status_code, answer.json()["code"]) == (410, "file_missing")
        assert "checkpoint" not in answer.text


@pytest.mark.parametrize("kind", ["report", "evaluation"])
def test_what_the_caller_has_is_not_sent_again(api: TestClient, job: JobFiles, kind: str) -> None:
    job.evaluation(1)
    path = f"/jobs/{job.id}/{kind}"
    etag = api.get(path).headers["etag"]
    for names in (etag, f'"another", W/{etag}', "*"):
        again = api.get(path, headers={"If-None-Match": names})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert api.get(path, headers={"If-None-Match": '"another"'}).status_code == 200
    with job.database.writing() as session:
        attempts.hand_back(session, job.claim, "stopped")
    job.claim_again()
    job.evaluation(2)
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 200
