"""The Python client and the commands against a real server that loses answers, is away or is busy."""

import hashlib
import io
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import httpx2
import pytest
import uvicorn
from click.testing import CliRunner, Result
from fastapi import FastAPI
from rich.console import Console
from sqlmodel import col, update
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api_models.events import EventView, StatusEvent
from app.cli.event_lines import event_line
from app.cli.live import watch_job
from app.cli.service import edgeface_finetune
from app.client import ApiError, ApiUnavailable, Client, EstimateFailed, MeasurementFailed
from app.database import Database
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.deprecations import FormerNameWarning
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.errors import ErrorReport
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import (
    BatchSplit,
    DurationPredicted,
    EnlargementMeasured,
    EvaluationStarted,
    Prepared,
    Progressed,
    Recognition,
    RolledBack,
    StageStarted,
    StateSaved,
)
from app.finetune.ranges import Estimate
from app.jobs import queries
from app.jobs.search import JobFilter, find_jobs
from app.jobs.states import JobStatus
from app.jobs.tables import Attempt
from app.jobs.transitions import attempts, recording, rounds, wishes
from app.jobs.transitions.fence import Claim
from app.main import create_app
from app.settings import Settings
from tests.integration.test_durations import MEASURED
from tests.support.command_line import edgeface_finetune as edgeface_finetune_in_process
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.servers import free_port

CONFIG = {"dataset": "faces"}
EPOCH_12 = {
    "stage": 2,
    "epoch": 12,
    "epochs": 20,
    "train_loss": 9.0,
    "train_accuracy": 0.5,
    "val_loss": None,
    "val_accuracy": None,
    "val_auc": None,
    "head_lr": 1e-3,
    "seconds": 1.0,
    "images_per_second": 100.0,
    "best": False,
}


class Faulty:
    """Does to requests, one after the other, what `faults` say; to the rest nothing. `requests` remembers them all."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application
        self.faults: list[str] = []
        self.requests: list[tuple[str, str, str | None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            key = dict(scope["headers"]).get(b"idempotency-key")
            self.requests.append((scope["method"], scope["path"], None if key is None else key.decode()))
            if self.faults:
                await self._fail(self.faults.pop(0), scope, receive, send)
                return
        await self._application(scope, receive, send)

    async def _fail(self, fault: str, scope: Scope, receive: Receive, send: Send) -> None:
        async def swallow(_: Message) -> None:
            pass

        if fault == "lost answer":  # what was asked for is done; the answer breaks off
            await self._application(scope, receive, swallow)
            head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]}
            await send(head)
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            return
        assert fault == "gateway away"
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b"nobody home"})


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    settings = Settings(var_dir=var_dir, port=free_port())
    settings.make_directories()
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def application(settings: Settings) -> FastAPI:
    return create_app(settings)


@pytest.fixture
def server(application: FastAPI, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    monkeypatch.setattr("app.client.connection.RECONNECT_SECONDS", 0.01)
    faulty = Faulty(application)
    config = uvicorn.Config(faulty, port=settings.port, log_config=None, lifespan="on")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        with Client(url(settings), patience_seconds=30.0) as client:
            client.list()
        faulty.requests.clear()
        yield faulty
    finally:
        application.state.service.stopping.set()
        running.should_exit = True
        thread.join()


@pytest.fixture
def client(server: Faulty, settings: Settings) -> Iterator[Client]:  # noqa: ARG001 - it listens
    with Client(url(settings), patience_seconds=10.0) as client:
        yield client


@pytest.fixture
def database(server: Faulty, application: FastAPI) -> Database:  # noqa: ARG001 - it migrates
    database: Database = application.state.service.database
    return database


def url(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.port}"


def run(database: Database, job_id: str) -> Claim:
    with database.writing() as session:
        claim = attempts.claim(session, job_id, "worker-1", 60.0)
        assert claim is not None
        attempts.begin_attempt(session, claim, next(iter(queries.resume_points(session, job_id)), None))
        recording.record_running(session, claim, PREPARED)
    return claim


PREPARED = Prepared(
    train_images=10,
    val_images=5,
    subjects=2,
    selection="verification_auc",
    variant="edgeface_xxs",
    enlargement="bicubic",
    resampler="antialiased bicubic",
    device="cpu",
    precision="float32",
    seconds=0.5,
)


def save_state(database: Database, claim: Claim) -> None:
    file = WrittenFile(Path(f"{claim.job_id}/state.pt"), 10, "ef" * 32)
    with database.writing() as session:
        recording.record_state(session, claim, StateSaved(file, 2, 7, 13, 83, 0.5, None))
        recording.record_progress(
            session, claim, Progressed(progress=0.6, eta_seconds=1.0, stage=2, epoch=8, step=17, steps_done=87)
        )


def finish(database: Database, claim: Claim, status: JobStatus = JobStatus.SUCCEEDED) -> None:
    with database.writing() as session:
        error = ErrorReport(code="x", message="it broke", hint="mend it", blame="service")
        attempts.finish(session, claim, status, error if status is JobStatus.FAILED else None)


@pytest.mark.parametrize("fault", ["lost answer", "gateway away"])
def test_a_submission_whose_answer_is_lost_is_sent_again_and_makes_one_job(
    server: Faulty, client: Client, fault: str
) -> None:
    server.faults = [fault, fault]
    job = client.submit(CONFIG, priority=3)
    keys = {key for method, _, key in server.requests if method == "POST"}
    assert len(server.requests) == 3
    assert len(keys) == 1
    assert None not in keys
    assert [each.id for each in client.list().jobs] == [job.id]
    assert job.priority == 3
    assert client.submit(CONFIG).id != job.id


def test_the_same_key_from_another_process_gives_the_same_job(client: Client) -> None:
    job = client.submit(CONFIG, idempotency_key="monday")
    assert client.submit(CONFIG, idempotency_key="monday").id == job.id
    with pytest.raises(ApiError) as refused:
        client.submit(CONFIG | {"seed": 7}, idempotency_key="monday")
    assert refused.value.problem.code == "idempotency_key_reused"


def test_a_database_that_is_away_for_a_while_is_waited_for(
    server: Faulty, client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename(database, "job", "moved")
    monkeypatch.setattr("app.client.connection.time.sleep", lambda _: rename(database, "moved", "job"))
    assert client.list().jobs == []
    assert len(server.requests) == 2


def rename(database: Database, old: str, new: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")


def test_patience_ends(server: Faulty, settings: Settings) -> None:
    with Client(url(settings), patience_seconds=0.0) as client:
        server.faults = ["lost answer"]
        with pytest.raises(httpx2.TransportError):
            client.list()
        server.faults = ["gateway away"]
        with pytest.raises(httpx2.HTTPStatusError):
            client.list()
    with Client(f"http://127.0.0.1:{free_port()}", patience_seconds=0.0) as nobody, pytest.raises(httpx2.ConnectError):
        nobody.submit(CONFIG)


def test_what_the_api_says_of_its_database_is_passed_on(settings: Settings, database: Database) -> None:
    rename(database, "job", "moved")
    with Client(url(settings), patience_seconds=0.0) as client, pytest.raises(ApiUnavailable) as away:
        client.list()
    assert away.value.problem.code == "database_unavailable"
    rename(database, "moved", "job")


def test_a_retry_is_sent_once(server: Faulty, client: Client, database: Database) -> None:
    job_id = client.submit(CONFIG).id
    finish(database, run(database, job_id), JobStatus.FAILED)
    server.requests.clear()
    server.faults = ["lost answer"]
    with pytest.raises(httpx2.TransportError):
        client.retry(job_id)
    assert len(server.requests) == 1
    assert client.get(job_id).status is JobStatus.QUEUED


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "pin", "unpin", "attempts", "metrics", "get"])
def test_everything_else_is_repeated(
    server: Faulty, client: Client, database: Database, settings: Settings, action: str
) -> None:
    job_id = client.submit(CONFIG).id
    if action == "pin":
        publish(database, settings, run(database, job_id))
    if action == "resume":
        client.pause(job_id)
    server.faults = ["lost answer", "gateway away"]
    getattr(client, action)(job_id)
    status = {"pause": JobStatus.PAUSED, "cancel": JobStatus.CANCELLED, "pin": JobStatus.RUNNING}
    assert client.get(job_id).status is status.get(action, JobStatus.QUEUED)


def publish(database: Database, settings: Settings, claim: Claim) -> None:
    full = WrittenFile(Path(f"{claim.job_id}/best.pth"), 7, WEIGHTS_SHA256)
    path = settings.artifacts_dir / claim.job_id / "best.pth"
    path.parent.mkdir()
    path.write_bytes(b"weights")
    with database.writing() as session:
        backbone = replace(full, path=Path(f"{claim.job_id}/backbone.pth"))
        recording.record_checkpoint(session, claim, Checkpoint(epoch=3, score=0.5, full=full, backbone=backbone))


WEIGHTS_SHA256 = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"


def test_a_download_that_breaks_off_is_tried_again(
    server: Faulty, client: Client, database: Database, settings: Settings, tmp_path: Path
) -> None:
    job_id = client.submit(CONFIG).id
    publish(database, settings, run(database, job_id))
    server.faults = ["lost answer"]
    assert client.download(job_id, tmp_path / "best.pth").read_bytes() == b"weights"
    assert client.download(job_id, tmp_path / "third.pth", epoch=3).read_bytes() == b"weights"
    with pytest.raises(ApiError) as absent:
        client.download(job_id, tmp_path / "second.pth", epoch=2)
    assert absent.value.problem.code == "checkpoint_not_kept"
    assert not (tmp_path / "second.pth").exists()


def test_one_event_stream_goes_on_over_pause_and_resume(server: Faulty, client: Client, database: Database) -> None:
    job_id = client.submit(CONFIG).id
    statuses = []
    for event in client.events(job_id):
        if isinstance(event, EventView):
            if isinstance(event, StatusEvent):
                statuses.append(event.data.status)
            if statuses == ["queued"]:
                client.pause(job_id)
        elif event["status"] == "paused":  # it came after the event, so the stream goes on
            client.resume(job_id)
            finish(database, run(database, job_id))
    assert statuses == ["queued", "paused", "queued", "preparing", "running", "succeeded"]
    assert [path for _, path, _ in server.requests].count(f"/jobs/{job_id}/events") == 1


def test_watching_shows_what_was_lost_and_what_goes_on(client: Client, database: Database) -> None:
    job_id = client.submit(CONFIG).id
    claim = run(database, job_id)
    save_state(database, claim)
    with database.writing() as session:
        recording.record_event(session, claim, BatchSplit(32, 16, stage=2, epoch=7, step=13))
        recording.record_event(session, claim, RolledBack(0.5, stage=2, epoch=7, step=13))
        wishes.request_pause(session, job_id)
        attempts.hand_back(session, claim, "paused by a person")
        wishes.resume(session, job_id)
        rounds.note_waiting(session, job_id, "disk space: 3 MB free")
    second = run(database, job_id)
    with database.writing() as session:
        attempts.hand_back(session, second, "the worker was stopped")
    finish(database, run(database, job_id))
    shown = io.StringIO()
    job = watch_job(client, job_id, Console(file=shown, width=200))
    assert job.status is JobStatus.SUCCEEDED
    lines = [without_seconds(line.rstrip()) for line in shown.getvalue().splitlines()]
    assert [line for line in lines if line and not line.startswith(("prepared", "warning", "  "))] == [
        "queued",
        "preparing",
        "running",
        "out of memory: batches of 32 are computed in microbatches of 16; resumes from stage 2 epoch 7 step 13",
        "the loss was not finite: resumes from stage 2 epoch 7 step 13, learning rates times 0.5",
        "pausing: the training state is being saved",
        "paused: `edgeface-finetune resume JOB` resumes it, `edgeface-finetune cancel JOB` ends it",
        "queued again: resumed by a person",
        "waits for disk space: 3 MB free",
        "preparing",
        "resumes from stage 2 epoch 7 step 13 of attempt 1; 4 steps to repeat, N s lost, N s without work on it",
        "running",
        "queued again: the worker was stopped",
        "preparing",
        "resumes from stage 2 epoch 7 step 13 of attempt 1; 0 steps to repeat, N s lost, N s without work on it",
        "running",
        "succeeded",
    ]


def without_seconds(line: str) -> str:
    """How long it took is the machine's affair."""
    return re.sub(r"[\d.]+ s (lost|without)", r"N s \1", line)


def test_a_job_that_starts_again_from_nothing_is_told_so(client: Client, database: Database) -> None:
    job_id = client.submit(CONFIG).id
    claim = run(database, job_id)
    with database.writing() as session:
        attempts.hand_back(session, claim, "the worker was stopped")
    finish(database, run(database, job_id))
    lines = [
        without_seconds(event_line(event.data) or "") for event in client.events(job_id) if isinstance(event, EventView)
    ]
    assert "starts from the beginning; 0 steps to repeat, N s lost, N s without work on it" in lines


@pytest.fixture
def command(server: Faulty, settings: Settings) -> Callable[..., Result]:  # noqa: ARG001 - it listens
    def call(*arguments: str) -> Result:
        return CliRunner().invoke(edgeface_finetune, [*arguments, "--url", url(settings)])

    return call


def said(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_the_commands_pause_resume_retry_and_cancel(
    command: Callable[..., Result], client: Client, database: Database, tmp_path: Path
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    submit = ("submit", str(config), "--priority", "5", "--idempotency-key", "monday")
    job_id = said(command(*submit))
    assert said(command(*submit)) == job_id
    assert said(command("pause", job_id)) == "paused: no training state is saved yet, so it starts from the beginning"
    listed = said(command("jobs", "--status", "paused"))
    assert listed.splitlines()[1].startswith(job_id)
    assert listed.endswith("priority 5  waits for a person to resume it")
    assert said(command("resume", job_id)) == "queued: no training state is saved yet, so it starts from the beginning"
    claim = run(database, job_id)
    save_state(database, claim)
    with database.writing() as session:
        wishes.request_pause(session, job_id)
        attempts.hand_back(session, claim, "paused by a person")
    goes_on = "it resumes from stage 2 epoch 7 step 13"
    assert said(command("pause", job_id)) == f"paused: {goes_on}"
    assert said(command("cancel", job_id)) == "cancelled"
    assert said(command("retry", job_id)) == f"queued: {goes_on}"
    run(database, job_id)
    assert said(command("cancel", job_id)) == "cancelling"
    assert said(command("cancel", job_id, "--force")) == "cancelled"
    again = said(command("retry", job_id, "--from-start"))
    assert again == "queued: no training state is saved yet, so it starts from the beginning"
    assert client.get(job_id).resume_point is None


@pytest.mark.parametrize("ended", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_cancel_of_a_job_that_has_ended_says_so(
    ended: JobStatus, command: Callable[..., Result], client: Client, database: Database
) -> None:
    job_id = client.submit(CONFIG).id
    with database.writing() as session:
        claim = attempts.claim(session, job_id, "worker-1", 60.0)
        assert claim is not None
        attempts.finish(session, claim, ended)
    result = command("cancel", job_id)
    if ended is JobStatus.CANCELLED:
        assert said(result) == "cancelled"
    else:
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"job {job_id} has {ended} already, and was not cancelled" in result.stderr


def measure_as_a_worker(database: Database, measured: dict[str, Any] | None = MEASURED) -> None:
    """What a worker makes of the job that is next: found out, or failed."""
    with database.reading() as session:
        job = queries.next_queued(session)
    assert job is not None
    with database.writing() as session:
        claim = attempts.claim(session, job.id, "worker-1", 60.0)
        assert claim is not None
        attempts.begin_attempt(session, claim, None)
        if measured is None:
            error = ErrorReport(code="out_of_memory", message="not even one image fits", hint="use a GPU", blame="data")
            attempts.finish(session, claim, JobStatus.FAILED, error)
        else:
            attempts.finish(session, claim, JobStatus.SUCCEEDED, measured=measured)


def test_an_estimate_waits_for_the_worker(server: Faulty, client: Client, database: Database) -> None:
    server.faults = ["lost answer"]
    heard: list[str] = []

    def on_status(what: str) -> None:
        heard.append(what)
        if len(heard) == 1:
            measure_as_a_worker(database)

    measured = client.estimate(CONFIG, priority=7, on_status=on_status)
    assert measured.model_dump() == MEASURED
    assert heard == [
        "waits for a worker, but none has ever reported: start one with edgeface-finetune worker",
        "preparing",
        "succeeded",
    ]
    assert [method for method, path, _ in server.requests if path == "/jobs"] == ["POST", "POST"]
    assert client.list().jobs == []


def test_an_estimate_without_result_says_why(client: Client, database: Database) -> None:
    with pytest.raises(EstimateFailed, match="not even one image fits") as failed:
        client.estimate(
            CONFIG, on_status=lambda what: measure_as_a_worker(database, None) if "worker" in what else None
        )
    assert failed.value.job.status is JobStatus.FAILED


def test_former_names_of_the_client_work_and_name_the_current_ones(client: Client, database: Database) -> None:
    with pytest.warns(FormerNameWarning, match=re.escape("use Client.estimate")) as warned:
        client.measure(CONFIG, on_status=lambda what: measure_as_a_worker(database) if "worker" in what else None)
    assert [warning.filename for warning in warned] == [__file__]
    assert issubclass(EstimateFailed, MeasurementFailed)
    with pytest.warns(FormerNameWarning, match="use synthetic_identities") as warned:
        job = client.submit(CONFIG | {"invented_people": 8})
    assert [warning.filename for warning in warned] == [__file__]
    assert job.config.model_dump()["synthetic_identities"] == 8


def test_the_command_names_the_current_name_of_a_former_one(
    server: Faulty, settings: Settings, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG | {"invented_people": 8}))
    monkeypatch.setenv("EDGEFACE_URL", url(settings))
    submitted = edgeface_finetune_in_process(settings, "submit", str(config))
    assert submitted.errors.splitlines()[0] == (
        "warning: invented_people is deprecated and works until 0.4.0: use synthetic_identities"
    )
    with database.reading() as session:
        assert submitted.output.strip() == find_jobs(session, limit=1).jobs[0].id
    refused = edgeface_finetune_in_process(settings, "submit", "--dry-run=measure", "--evaluation", str(config))
    assert "warning: dry_run=measure is deprecated and works until 0.4.0: use dry_run=estimate" in refused.errors


def test_an_interrupted_estimate_is_cancelled(client: Client, database: Database) -> None:
    def give_up(_: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.estimate(CONFIG, on_status=give_up)
    with database.reading() as session:
        (job,) = find_jobs(session, JobFilter(kinds=["dry_run"]), limit=10).jobs
    assert job.status == JobStatus.CANCELLED


def test_the_command_estimates(
    command: Callable[..., Result], database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(CONFIG))
    echo = click.echo

    def echo_and_measure(message: object = None, **options: Any) -> None:
        echo(message, **options)
        if str(message).startswith("estimating: waits for a worker"):
            measure_as_a_worker(database)

    monkeypatch.setattr(click, "echo", echo_and_measure)
    shown = said(command("submit", "--dry-run=estimate", str(config)))
    assert shown.splitlines() == [
        "time: 1 minute and 40 seconds (1 minute and 30 seconds to 2 minutes) on cpu for all 25 epochs; early stopping "
        "makes it shorter",
        "  start 1 second, prepare 9 seconds, before 5 seconds, stage1 20 seconds, stage2 1 minute, after 5 seconds",
        "memory: 900.0 MB of the process",
        "disk: 18.8 MB of prepared faces, 45.9 MB of training states while it runs, 10.1 MB per checkpoint",
    ]
    assert json.loads(said(command("submit", str(config), "--dry-run=estimate", "--json"))) == MEASURED
    assert "warnings" in json.loads(said(command("submit", "--dry-run", str(config))))


def test_the_commands_show_what_was_predicted_beside_what_it_took(
    command: Callable[..., Result], client: Client, database: Database
) -> None:
    job_id = client.submit(CONFIG).id
    claim = run(database, job_id)
    with database.writing() as session:
        recording.record_prediction(
            session,
            claim,
            DurationPredicted(
                seconds_spent=0.0,
                seconds_left=Estimate(3000.0, 4000.0, 5000.0),
                stage1_epochs=5,
                stage2_epochs=20,
                stage2_epoch_seconds=190.0,
                can_stop_early=True,
            ),
        )
        recording.record_epoch(session, claim, EpochMetrics.model_validate(EPOCH_12))
        session.execute(update(Attempt).values(started_at=col(Attempt.started_at) - 2000))
    predicted = (
        "predicted: 1 hour and 7 minutes (50 minutes to 1 hour and 23 minutes) for all 25 epochs; early stopping makes "
        "it shorter"
    )
    assert predicted in said(command("status", job_id)).splitlines()
    finish(database, claim)
    lines = said(command("status", job_id)).splitlines()
    assert lines[0] == f"{job_id}  succeeded  100%"
    assert lines[1] == predicted
    # 4000 s without 8 epochs of 190 s.
    actual = "of work, 41 minutes and 20 seconds predicted for the epochs trained (-19%)"
    assert re.match(rf"actual: 33 minutes and \d+ seconds {re.escape(actual)}", lines[2])
    watched = said(command("watch", job_id)).splitlines()
    assert predicted in watched
    assert any(line.startswith("succeeded; actual: 33 minutes") and actual in line for line in watched)
    assert json.loads(said(command("status", job_id, "--json")))["actual"]["off_by"] == pytest.approx(-0.19, abs=0.01)


def test_the_commands_pin_and_unpin(
    command: Callable[..., Result], client: Client, database: Database, settings: Settings, tmp_path: Path
) -> None:
    job_id = client.submit(CONFIG).id
    publish(database, settings, run(database, job_id))
    assert said(command("pin", job_id)) == f"epoch 3 is kept; `download {job_id} --epoch 3` downloads it"
    output = tmp_path / "third.pth"
    assert said(command("download", job_id, "--epoch", "3", "--output", str(output))) == str(output)
    assert all(file.pinned for file in client.get(job_id).files)
    assert said(command("unpin", job_id)) == "no checkpoint is pinned"
    assert not any(file.pinned for file in client.get(job_id).files)


def test_a_pause_that_takes_long_says_so(
    command: Callable[..., Result], client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.routes.actions.PAUSE_ANSWER_SECONDS", 0.0)
    job_id = client.submit(CONFIG).id
    run(database, job_id)
    assert said(command("pause", job_id)).startswith("pausing: the worker is still saving the training state")


def test_watching_a_job_that_failed_is_exit_status_1(
    command: Callable[..., Result], client: Client, database: Database
) -> None:
    job_id = client.submit(CONFIG).id
    finish(database, run(database, job_id), JobStatus.FAILED)
    watched = command("watch", job_id)
    assert watched.exit_code == 1
    assert "failed: it broke (x)" in watched.output


def test_an_evaluation_is_queued_listed_and_watched_as_a_job_is(
    command: Callable[..., Result], client: Client, database: Database
) -> None:
    job = client.evaluate(EvaluationConfig.model_validate(CONFIG))
    assert job.kind == "evaluation"
    assert isinstance(job.config, EvaluationConfig)
    assert "evaluation of edgeface_xxs.pt on faces/val_processed" in said(command("jobs", "--kind", "evaluation"))
    with database.writing() as session:
        claim = attempts.claim(session, job.id, "worker-1", 60.0)
        assert claim is not None
        attempts.begin_attempt(session, claim, None)
        recording.record_running(session, claim, EvaluationStarted("cpu"))
    finish(database, claim, JobStatus.FAILED)
    assert "evaluating on cpu" in command("watch", job.id).output
    with pytest.raises(ApiError) as refused:
        client.evaluation(job.id)
    assert refused.value.problem.code == "not_evaluated"


def test_the_command_submits_an_evaluation_once_and_downloads_what_was_measured(
    command: Callable[..., Result], client: Client, database: Database, settings: Settings, tmp_path: Path
) -> None:
    config = tmp_path / "evaluation.json"
    config.write_text(json.dumps(CONFIG | {"before": "edgeface_xxs.pt"}))
    arguments = ("submit", "--evaluation", str(config), "--priority", "3", "--idempotency-key", "Monday")
    job_id = said(command(*arguments)).strip()
    assert said(command(*arguments)).strip() == job_id
    job = client.get(job_id)
    assert (job.kind, job.priority) == ("evaluation", 3)
    refused = command("download", job_id, "--format", "report", "--output", str(tmp_path / "early.html"))
    assert isinstance(refused.exception, ApiError)
    assert refused.exception.problem.code == "not_evaluated"
    assert not (tmp_path / "early.html").exists()

    claim = run(database, job_id)
    written = {"report": b"<!doctype html>", "evaluation": b"{}"}
    files = {}
    for kind, content in written.items():
        key = f"{job_id}/attempt-1/{kind}"
        (settings.artifacts_dir / key).parent.mkdir(parents=True, exist_ok=True)
        (settings.artifacts_dir / key).write_bytes(content)
        files[kind] = WrittenFile(Path(key), len(content), hashlib.sha256(content).hexdigest())
    with database.writing() as session:
        recording.record_evaluation(session, claim, epoch=0, files=files)
    for kind, content in written.items():
        target = tmp_path / f"downloaded-{kind}"
        assert said(command("download", job_id, "--format", kind, "--output", str(target))).strip() == str(target)
        assert target.read_bytes() == content


def test_a_dsr_training_is_submitted_watched_and_its_network_downloaded(
    command: Callable[..., Result],
    client: Client,
    database: Database,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = tmp_path / "dsr.json"
    config.write_text(json.dumps(CONFIG | {"vlr_sizes": [12, 16]}))
    job_id = said(command("submit", "--dsr-training", str(config))).strip()
    assert client.get(job_id).kind == "dsr_training"
    assert "DSR for 12, 16 px on faces/train_processed" in said(command("jobs", "--kind", "dsr_training"))

    claim = run(database, job_id)
    key, content = f"{job_id}/attempt-1/best-epoch-001/dsr.pth", b"a network"
    (settings.artifacts_dir / key).parent.mkdir(parents=True)
    (settings.artifacts_dir / key).write_bytes(content)
    file = WrittenFile(Path(key), len(content), hashlib.sha256(content).hexdigest())
    recognition = Recognition(0.99, 0.9, 0.8, None, 100, 1000)
    measured = EnlargementMeasured("bicubic", 23.9, 0.63, 0.38, recognition)
    epoch = {"stage": 0, "epoch": 1, "epochs": 1, "train_loss": 0.2, "train_pixel_loss": 0.1, "val_psnr": 24.5}
    epoch |= {"val_ssim": 0.65, "val_identity": 0.41, "val_auc": 0.992, "seconds": 2.0, "images_per_second": 9.0}
    with database.writing() as session:
        recording.record_event(session, claim, measured)
        recording.record_event(session, claim, StageStarted(0, 1))
        recording.record_epoch(session, claim, EpochMetrics.model_validate(epoch | {"best": True}))
        recording.record_checkpoint(session, claim, Checkpoint(epoch=1, score=0.992, full=file, stage=0))
    finish(database, claim, JobStatus.SUCCEEDED)
    watched = command("watch", job_id).output
    assert "bicubic enlargement: PSNR 23.90 dB, SSIM 0.6300, identity 0.3800, rank-1 0.9000" in watched
    assert "stage 0: the DSR network, 1 epoch" in watched
    assert "train loss 0.2000 pixel 0.1000  val AUC 0.9920 PSNR 24.50 SSIM 0.6500 identity 0.4100" in watched

    monkeypatch.chdir(tmp_path)
    client.update(job_id, name="DSR for 12 px")
    name = f"DSR-for-12-px-{job_id[-6:]}_dsr.pth"
    assert said(command("download", job_id)).strip() == name
    assert (tmp_path / name).read_bytes() == content
    (tmp_path / name).write_bytes(b"mine")
    refused = command("download", job_id)
    assert (refused.exit_code, (tmp_path / name).read_bytes()) == (2, b"mine")
    assert f"{name} exists already" in refused.output
    assert said(command("download", job_id, "--force")).strip() == name
    assert (tmp_path / name).read_bytes() == content
    refused = command("download", job_id, "--format", "backbone")
    assert isinstance(refused.exception, ApiError)
    assert refused.exception.problem.code == "no_backbone"
    checkpoint = client.pin(job_id).checkpoint
    assert checkpoint is not None
    assert checkpoint.backbone is None


def test_an_evaluation_that_makes_no_sense_to_submit_or_download_is_refused(
    command: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    for dry_run in ("--dry-run", "--dry-run=estimate"):
        refused = command("submit", "--evaluation", dry_run, str(tmp_path / "config.json"))
        assert refused.exit_code == 2
        assert "has no dry run" in refused.output
    refused = command("download", "somebody", "--format", "report", "--epoch", "1")
    assert refused.exit_code == 2
    assert "not one per epoch" in refused.output


def test_without_a_service_a_command_says_so_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["app.cli.connecting"], "PATIENCE_SECONDS", 0.0)
    arguments: list[Any] = ["watch", "nobody", "--url", f"http://127.0.0.1:{free_port()}"]
    assert isinstance(CliRunner().invoke(edgeface_finetune, arguments).exception, httpx2.ConnectError)


def test_a_dataset_is_registered_shown_and_removed_by_the_client(client: Client, settings: Settings) -> None:
    write_dataset(settings.datasets_dir / "folds/fold-1")
    registered = client.register("folds/fold-1", subject_pattern="guide", priority=3)
    assert (registered.name, registered.subject_pattern, registered.checked_at) == ("folds/fold-1", "guide", None)
    assert registered.check is not None
    assert client.get(registered.check.job).priority == 3
    assert client.dataset("folds/fold-1") == client.dataset(registered.id)
    found = client.datasets()
    assert (set(found.names), [record.name for record in found.datasets]) == (
        {"faces", "folds/fold-1"},
        ["folds/fold-1"],
    )
    assert client.remove_dataset("folds/fold-1").id == registered.id
    with pytest.raises(ApiError) as refused:
        client.dataset("folds/fold-1")
    assert refused.value.problem.code == "dataset_not_registered"


def test_the_commands_of_records_print_what_a_person_wants_to_know(command: Callable[..., Result]) -> None:
    assert command("dataset", "list").output == "faces: not registered\n"
    refused = command("dataset", "show", "faces")
    assert isinstance(refused.exception, ApiError)
    registered = command("dataset", "register", "faces", "--subject-pattern", "guide")
    assert registered.exit_code == 0, registered.output
    job = registered.stdout.strip()
    shown = command("dataset", "show", "faces").output
    assert shown.startswith(f"faces: subject pattern guide, check {job} is queued\n")
    assert "  train_processed: 3 subjects, 6 VLR and 6 HR images\n" in shown
    assert json.loads(command("dataset", "show", "faces", "--json").output)["check"]["job"] == job
    assert command("dataset", "list").output.startswith("faces: subject pattern guide")
    assert command("dataset", "remove", "faces").output == "removed the record of faces; the folder stays\n"
    assert command("dataset", "list").output == "faces: not registered\n"
