"""The supervisor with trainers that tell, die, fail or never end; real processes, real databases."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest

from app.database import Database
from app.jobs import store
from app.jobs.errors import TrainerDied
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.settings import Settings
from tests.integration.conftest import event_kinds, run_out_lease, status, submit
from tests.trainers import fixtures
from worker.supervisor import Supervisor, TrainerMain

DEADLINE_SECONDS = 30.0


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    settings = Settings(var_dir=tmp_path, database_url=database_url, heartbeat_seconds=0.1)
    settings.make_directories()
    for half in ("train_processed", "val_processed"):
        (settings.datasets_dir / "faces" / half).mkdir(parents=True)
    (settings.weights_dir / "edgeface_xxs.pt").touch()
    return settings


@pytest.fixture
def supervise(database: Database, settings: Settings) -> Iterator[Callable[[TrainerMain], Supervisor]]:
    processes = multiprocessing.get_context("forkserver")
    forkserver.ensure_running()
    started: list[tuple[Supervisor, threading.Thread]] = []

    def start(trainer_main: TrainerMain) -> Supervisor:
        supervisor = Supervisor(database, settings, processes, trainer_main)
        thread = threading.Thread(target=supervisor.run_waiting_jobs)
        thread.start()
        started.append((supervisor, thread))
        return supervisor

    yield start
    for supervisor, thread in started:
        supervisor.stop()
        thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def wait_for_status(database: Database, job_id: str, *expected: JobStatus) -> Job:
    wait_until(lambda: status(database, job_id) in expected)
    with database.reading() as session:
        return store.get(session, job_id)


def wait_for_trainer(database: Database, settings: Settings, job_id: str) -> int:
    """Process id of a trainer whose checkpoint is in the row."""
    wait_until(lambda: "checkpoint" in event_kinds(database, job_id))
    file = settings.artifacts_dir / job_id / "attempt-1" / "pid"
    wait_until(lambda: file.exists() and file.read_text() != "")
    return int(file.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_everything_a_training_tells_is_in_the_rows(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.tell_all)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.progress == 1.0
    assert job.verdict == "no clear difference"
    assert job.recognition_before == job.recognition_after
    assert job.facts is not None
    assert job.facts["variant"] == "edgeface_xxs"
    assert [warning["code"] for warning in job.warnings] == ["told_twice"]
    assert job.checkpoint is not None
    assert job.checkpoint["full"]["key"] == f"{job_id}/attempt-1/best-epoch-001/edgeface_finetuned.pth"
    with database.reading() as session:
        epochs = [(metric.stage, metric.epoch, metric.best) for metric in store.metrics(session, job)]
    assert epochs == [(1, 1, False), (1, 2, False), (2, 1, True), (2, 2, False)]
    assert " ".join(event_kinds(database, job_id)) == (
        "status status status prepared warning recognition stage epoch epoch stage epoch checkpoint epoch status"
    )


@pytest.mark.parametrize("trainer", [fixtures.train_until_stopped, fixtures.ignore_sigterm])
def test_cancel_ends_the_trainer_within_two_seconds_and_keeps_the_checkpoint(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor], trainer: TrainerMain
) -> None:
    job_id = submit(database)
    supervise(trainer)
    pid = wait_for_trainer(database, settings, job_id)
    asked = time.monotonic()
    with database.writing() as session:
        store.request_cancel(session, job_id)
    job = wait_for_status(database, job_id, JobStatus.CANCELLED)
    assert time.monotonic() - asked < 2.0
    assert not alive(pid)
    assert job.checkpoint is not None
    assert job.error is None


def test_a_trainer_that_dies_is_tried_again_and_its_metrics_show_once(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.die_once)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.attempt == 2
    with database.reading() as session:
        assert [metric.stage for metric in store.metrics(session, job)] == [1, 1, 2, 2]


def test_a_trainer_that_always_dies_fails_the_job_with_the_signal_named(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.die)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.attempt == 3
    assert job.error == TrainerDied(-9).report().model_dump()


def test_what_the_training_blames_on_the_data_is_not_tried_again(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.fail)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.attempt == 1
    assert job.error is not None
    assert (job.error["code"], job.error["blame"]) == ("image_unreadable", "data")


def test_a_worker_that_stops_hands_its_job_back_and_leaves_no_trainer(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervisor = supervise(fixtures.train_until_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    supervisor.stop()
    job = wait_for_status(database, job_id, JobStatus.QUEUED)
    assert job.worker_losses == 0
    assert not alive(pid)


def test_a_supervisor_that_lost_its_lease_stops_its_trainer_and_writes_nothing(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.train_until_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    run_out_lease(database, job_id)
    wait_until(lambda: not alive(pid))
    assert status(database, job_id) == JobStatus.RUNNING


def test_inputs_that_vanished_while_the_job_waited_fail_it_clearly(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    (settings.weights_dir / "edgeface_xxs.pt").unlink()
    supervise(fixtures.tell_all)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.error is not None
    assert job.error["code"] == "weights_not_found"
