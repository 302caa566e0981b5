"""The log of a job: what its trainers log and tell, over all attempts, and bounded."""

import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from sqlmodel import select, update

from app.artifacts import Artifacts
from app.cleaner import clean
from app.cli.job_logs import logs
from app.client import Client
from app.database import Database
from app.finetune.events import EpochFinished, Warned
from app.finetune.job_warning import JobWarning
from app.jobs.job_log import LONGEST_LINE, MOST_LINES, add_line, last_lines, lines_after
from app.jobs.states import JobStatus
from app.jobs.tables import Job, JobLogLine
from app.jobs.transitions import attempts, wishes
from app.jobs.transitions.fence import Claim
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import claim, failed, metrics_of, running
from tests.integration.test_api import end, refused, run, service
from tests.integration.test_client import application as application
from tests.integration.test_client import server as server
from tests.integration.test_client import url
from worker.messages import Logged, TrainerMessage
from worker.recording import record


def tell(database: Database, settings: Settings, claimed: Claim, *messages: TrainerMessage) -> None:
    for message in messages:
        with database.writing() as session:
            record(session, claimed, message, Artifacts(settings.artifacts_dir))


def told(database: Database, job_id: str) -> list[tuple[int, str, str]]:
    with database.reading() as session:
        return [(line.attempt, line.level, line.text) for line in last_lines(session, job_id, 100)]


def test_the_log_tells_each_attempt_what_its_trainer_logged_and_its_end(database: Database, settings: Settings) -> None:
    claimed = running(database)
    warning = JobWarning(code="x", message="two people look alike")
    tell(
        database,
        settings,
        claimed,
        Logged("error", "Traceback\n  line"),
        Warned(warning),
        EpochFinished.model_validate(metrics_of(1, 1).model_dump()),
    )
    with database.writing() as session:
        attempts.hand_back(session, claimed, "the worker was stopped")
    again = claim(database, "worker-2")
    with database.writing() as session:
        attempts.begin_attempt(session, again, None)
        attempts.finish(session, again, JobStatus.SUCCEEDED)
    lines = told(database, claimed.job_id)
    assert lines == [
        (0, "info", "a fine-tuning is queued"),
        (1, "info", "a fine-tuning starts, attempt 1, on worker worker-1"),
        (1, "error", "Traceback\n  line"),
        (1, "warning", "warning: two people look alike (x)"),
        *[line for line in lines if "train loss 9.0000" in line[2]],
        (1, "info", "a fine-tuning is queued again: the worker was stopped"),
        (2, "info", "a fine-tuning starts, attempt 2, on worker worker-2"),
        (2, "info", next(text for _, _, text in lines if text.startswith("a fine-tuning succeeded after"))),
    ]
    assert [number for number, _, text in lines if "train loss 9.0000" in text] == [1]


def test_the_newest_lines_are_kept_and_none_is_long(database: Database) -> None:
    job_id = running(database).job_id
    with database.writing() as session:
        for number in range(MOST_LINES + 200):
            add_line(session, job_id, 1, "info", f"line {number}")
        add_line(session, job_id, 1, "info", "a" + "x" * 10 * LONGEST_LINE + "z\x00")
    with database.reading() as session:
        kept = last_lines(session, job_id, 2 * MOST_LINES)
        assert MOST_LINES <= len(kept) < MOST_LINES + 100
        assert [line.number for line in kept] == list(range(kept[0].number, kept[-1].number + 1))
        assert [line.text for line in lines_after(session, job_id, kept[-4].number, 2)] == ["line 2198", "line 2199"]
        long = kept[-1].text
    assert len(long) < LONGEST_LINE + 50
    assert long[0] == "a"
    assert long[-2:] == "z\N{REPLACEMENT CHARACTER}"
    assert "characters left out" in long


def test_old_logs_are_deleted_with_the_checkpoints(database: Database, settings: Settings) -> None:
    old, new, open_ = failed(database).job_id, failed(database).job_id, running(database).job_id
    with database.writing() as session:
        session.execute(update(Job).where(Job.id == old).values(finished_at=1.0))  # type: ignore[arg-type]
        session.execute(update(Job).where(Job.id == open_).values(finished_at=1.0))  # type: ignore[arg-type]
    clean(database, settings)
    assert all(told(database, job_id) for job_id in (old, new, open_))
    clean(database, settings.model_copy(update={"keep_checkpoints_days": 1.0}))
    assert [bool(told(database, job_id)) for job_id in (old, new, open_)] == [False, True, True]


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def test_the_last_lines_and_those_after_a_number_are_answered_and_streamed(api: TestClient, settings: Settings) -> None:
    of_api = service(api).database
    job_id = api.post("/jobs", json={"dataset": "faces"}).json()["id"]
    claimed = run(of_api)
    tell(of_api, settings, claimed, *(Logged("info", f"line {number}") for number in range(5)))
    path = f"/jobs/{job_id}/logs"
    page = api.get(path, params={"lines": 2}).json()
    assert [line["text"] for line in page["lines"]] == ["line 3", "line 4"]
    assert (page["next_cursor"], page["terminal"]) == (page["lines"][-1]["number"], False)
    end(of_api, claimed, JobStatus.FAILED)
    newer = api.get(path, params={"after": page["next_cursor"]}).json()
    assert [line["text"].partition(" after")[0] for line in newer["lines"]] == ["a fine-tuning failed"]
    assert newer["terminal"] is True
    assert api.get(path, params={"after": 0, "lines": 3}).json()["terminal"] is False

    def streamed(headers: dict[str, str], **params: object) -> list[str]:
        text = api.get(path, params=params, headers=headers).text  # type: ignore[arg-type]
        return [json.loads(line[6:])["text"] for line in text.splitlines() if line.startswith("data: {")]

    everything = [line["text"] for line in api.get(path).json()["lines"]]
    assert streamed({}, follow=True) == streamed({"Accept": "text/event-stream"}) == everything
    assert streamed({"Last-Event-ID": str(page["next_cursor"])}, follow=True) == everything[-1:]
    assert streamed({}, follow=True, lines=2) == everything[-2:]
    refused(api.get(path, params={"lines": 0}), 422, "request_invalid")
    refused(api.get(f"/jobs/{'0' * 24}/logs?follow=true"), 404, "job_not_found")
    api.delete(f"/jobs/{job_id}")
    with of_api.reading() as session:
        assert session.exec(select(JobLogLine)).all() == []


def test_a_follower_sees_each_line_once_while_it_is_written(server: object, settings: Settings) -> None:
    database: Database = server._application.state.service.database  # type: ignore[attr-defined]
    with Client(url(settings)) as client:
        job_id = client.submit({"dataset": "faces"}).id
        lines = client.follow_logs(job_id)
        assert next(lines).text == "a fine-tuning is queued"
        claimed = claim(database)
        assert next(lines).attempt == 1
        tell(database, settings, claimed, Logged("info", "one"), Logged("warning", "two\nlines"))
        assert [next(lines).text, next(lines).text] == ["one", "two\nlines"]
        with database.writing() as session:
            wishes.request_cancel(session, job_id, force=True)
        assert [line.text.partition(" after")[0] for line in lines] == ["a fine-tuning is cancelled"]
        assert [line.number for line in client.logs(job_id).lines] == [1, 2, 3, 4, 5]
    shown = CliRunner().invoke(logs, [job_id, "--follow", "--lines", "3", "--url", url(settings)])
    assert shown.exit_code == 0, shown.output
    first, second, further, last = shown.output.splitlines()
    assert first.endswith("  attempt 1  one")
    assert second.endswith("  attempt 1  warning  two")
    assert further == "    lines"
    assert "a fine-tuning is cancelled" in last
