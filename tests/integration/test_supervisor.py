"""The supervisor with trainers that tell, die, fail or never end; real processes, real databases."""

import contextlib
import multiprocessing
import os
import re
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from multiprocessing import forkserver
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url
from sqlmodel import col, update

from app.api_models.attempts import ResumeReceipt
from app.cleaner import clean
from app.database import Database
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.gpus import GpuProblem, GpuReading, GpuReport
from app.finetune.job_kinds import DRY_RUN, EVALUATION
from app.jobs import queries
from app.jobs.rescue import Rounds
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import submission, wishes
from app.jobs.views import view_job
from app.leftovers import remove_leftovers
from app.settings import Settings
from tests.integration.conftest import CONFIG, event_kinds, fresh_database, run_out_lease, status, submit
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.job_files import JobFiles
from tests.trainers import fixtures
from worker.messages import TrainerMain
from worker.supervisor import Supervisor

DEADLINE_SECONDS = 30.0


# The store is tested on both databases; what a supervisor makes of its answers is the same on either.
@pytest.fixture(params=["sqlite"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, request, tmp_path) as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    settings = Settings(
        var_dir=tmp_path,
        database_url=database_url,
        heartbeat_seconds=0.1,
        rounds_seconds=0.1,
        retry_backoff_seconds=0.1,
        stop_seconds=2.0,
    )
    settings.make_directories()
    for half in ("train_processed", "val_processed"):
        (settings.datasets_dir / "faces" / half).mkdir(parents=True)
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def supervise(database: Database, settings: Settings) -> Iterator[Callable[..., Supervisor]]:
    """Starts a worker without Celery: its rounds ring straight at the supervisor."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.trainers.fixtures"])  # or each trainer imports it anew
    forkserver.ensure_running()
    started: list[tuple[Supervisor, Rounds, list[threading.Thread]]] = []

    def start(trainer_main: TrainerMain, gpus: Callable[[], GpuReport] = GpuReport) -> Supervisor:
        supervisor = Supervisor(database, settings, processes, trainer_main, gpus)
        threads: list[threading.Thread] = []

        def ring() -> None:
            threads.append(threading.Thread(target=supervisor.run_waiting_jobs))
            threads[-1].start()

        rounds = Rounds(database, settings, ring, supervisor.report_alive)
        rounds.start()
        started.append((supervisor, rounds, threads))
        return supervisor

    yield start
    for supervisor, rounds, threads in started:
        supervisor.stop()
        rounds.stop()
        for thread in threads:
            thread.join()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def wait_for_status(database: Database, job_id: str, *expected: JobStatus) -> Job:
    wait_until(lambda: status(database, job_id) in expected)
    with database.reading() as session:
        return queries.get(session, job_id)


def wait_for_trainer(database: Database, settings: Settings, job_id: str) -> int:
    """Process id of a trainer whose checkpoint is in the row."""
    wait_until(lambda: "checkpoint" in event_kinds(database, job_id))
    file = settings.artifacts_dir / job_id / "attempt-1" / "pid"
    wait_until(lambda: file.exists() and file.read_text() != "")
    return int(file.read_text())


def receipt(database: Database, job: Job) -> ResumeReceipt:
    with database.reading() as session:
        return ResumeReceipt.model_validate(queries.attempts(session, job.id)[-1].receipt)


def waiting_reason(database: Database, job_id: str) -> str | None:
    with database.reading() as session:
        return queries.get(session, job_id).waiting_reason


def no_artifacts(database: Database, job_id: str) -> bool:
    with database.reading() as session:
        return queries.artifacts(session, job_id) == []


def epochs(database: Database, job: Job) -> list[tuple[int, int, int]]:
    """(attempt, stage, epoch) of every epoch shown."""
    with database.reading() as session:
        return [(metric.attempt, metric.stage, metric.epoch) for metric in queries.metrics(session, job)]


@contextlib.contextmanager
def away(database_url: str) -> Iterator[None]:
    """Nobody gets an answer from the database meanwhile."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(make_url(database_url).database or "", isolation_level=None)) as connection:
            connection.execute("ALTER TABLE job RENAME TO moved")
            yield
            connection.execute("ALTER TABLE moved RENAME TO job")
        return
    url = make_url(database_url)
    maintenance = url.set(drivername="postgresql", database="postgres").render_as_string(hide_password=False)
    with psycopg.connect(maintenance, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {url.database} WITH ALLOW_CONNECTIONS false")
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [url.database])
        yield
        connection.execute(f"ALTER DATABASE {url.database} WITH ALLOW_CONNECTIONS true")


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
    assert job.checkpoint.full.key == f"{job_id}/attempt-1/best-epoch-001/edgeface_finetuned.pth"
    with database.reading() as session:
        shown = [(metric.stage, metric.epoch, metric.best) for metric in queries.metrics(session, job)]
        files = {artifact.key: artifact.kind for artifact in queries.artifacts(session, job_id)}
    assert shown == [(1, 1, False), (1, 2, False), (2, 1, True), (2, 2, False)]
    measured = {
        f"{job_id}/attempt-1/evaluation.json": "evaluation",
        f"{job_id}/attempt-1/report.html": "report",
    }
    assert files == {file.key: kind for kind, file in job.checkpoint.by_format.items()} | measured
    assert " ".join(event_kinds(database, job_id)) == (
        "status status status prepared warning recognition stage epoch epoch stage epoch checkpoint batch_split "
        "rolled_back epoch status"
    )


def test_an_evaluation_is_a_job_like_any_other(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    config = EvaluationConfig.model_validate({"dataset": "faces"})
    with database.writing() as session:
        job_id = submission.submit(session, config, [], kind=EVALUATION).id
    supervise(fixtures.tell_an_evaluation)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert (job.kind, job.verdict, job.progress) == ("evaluation", "no clear difference", 1.0)
    assert job.facts == {"device": "cpu"}
    assert [warning["code"] for warning in job.warnings] == ["few_subjects"]
    with database.reading() as session:
        files = {artifact.kind: artifact.key for artifact in queries.artifacts(session, job_id)}
        assert view_job(session, queries.get(session, job_id), 15.0).config == config
    folder = f"{job_id}/attempt-1"
    assert files == {"evaluation": f"{folder}/evaluation.json", "report": f"{folder}/report.html"}
    assert event_kinds(database, job_id) == ["status", "status", "status", "prepared", "warning", "status"]


def test_an_evaluation_whose_trainer_dies_begins_anew(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    with database.writing() as session:
        job_id = submission.submit(
            session, EvaluationConfig.model_validate({"dataset": "faces"}), [], kind=EVALUATION
        ).id
    supervise(fixtures.die_once_in_an_evaluation)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert (job.attempt, job.worker_losses) == (2, 1)
    told = receipt(database, job)
    assert (told.from_attempt, told.epoch, told.steps_redone) == (None, None, 0)
    with database.reading() as session:
        keys = {artifact.key for artifact in queries.artifacts(session, job_id)}
        assert view_job(session, queries.get(session, job_id), 15.0).resume_point is None
    assert keys == {f"{job_id}/attempt-2/{name}" for name in ("evaluation.json", "report.html")}


def test_an_evaluation_whose_dataset_is_gone_fails_and_can_be_retried(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    config = EvaluationConfig.model_validate({"dataset": "gone"})
    with database.writing() as session:
        job_id = submission.submit(session, config, [], kind=EVALUATION).id
    supervise(fixtures.tell_an_evaluation)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.error is not None
    assert job.error["code"] == "dataset_not_found"
    (settings.datasets_dir / "gone" / "val_processed").mkdir(parents=True)
    with database.writing() as session:
        wishes.retry(session, job_id)
    supervise(fixtures.tell_an_evaluation)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.attempt == 2


def test_a_training_starts_from_the_weights_of_another_job_and_goes_on_while_that_one_is_old(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    settings.keep_checkpoints_days = 1
    made = job_that_made_weights(database, settings)
    with database.writing() as session:
        job_id = submission.submit(session, CONFIG.model_copy(update={"edgeface": f"job:{made.id}"}), []).id
    supervise(fixtures.save_when_stopped_with_its_weights)
    wait_for_trainer(database, settings, job_id)
    with database.writing() as session:
        wishes.request_pause(session, job_id)
    wait_for_status(database, job_id, JobStatus.PAUSED)
    clean(database, settings)
    with database.writing() as session:
        wishes.resume(session, job_id)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.attempt == 2
    assert [warning["message"] for warning in job.warnings] == [WEIGHTS_MADE.format(made.id)]
    clean(database, settings)
    assert made.row().checkpoint is None


def test_an_evaluation_reads_the_weights_of_other_jobs(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    first, second = job_that_made_weights(database, settings), job_that_made_weights(database, settings)
    named = {"edgeface": f"job:{second.id}", "before": f"job:{first.id}"}
    config = EvaluationConfig.model_validate({"dataset": "faces", **named})
    with database.writing() as session:
        job_id = submission.submit(session, config, [], kind=EVALUATION).id
    supervise(fixtures.tell_an_evaluation_and_its_weights)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    told = [warning["message"] for warning in job.warnings if warning["code"] == "starts_from"]
    assert told == [WEIGHTS_MADE.format(second.id), WEIGHTS_MADE.format(first.id)]


def test_a_worker_that_lacks_the_weights_of_another_job_hands_back_and_says_so(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    made = job_that_made_weights(database, settings)
    (settings.artifacts_dir / WEIGHTS_MADE.format(made.id)).unlink()
    with database.writing() as session:
        job_id = submission.submit(session, CONFIG.model_copy(update={"edgeface": f"job:{made.id}"}), []).id
    supervise(fixtures.tell_all)
    wait_until(lambda: waiting_reason(database, job_id) is not None)
    assert "edgeface_backbone.pth is missing" in (waiting_reason(database, job_id) or "")
    assert status(database, job_id) == JobStatus.QUEUED


def test_a_job_that_names_weights_which_are_deleted_fails_by_field(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    settings.keep_checkpoints_days = 1
    made = job_that_made_weights(database, settings)
    clean(database, settings)
    with database.writing() as session:
        job_id = submission.submit(session, CONFIG.model_copy(update={"edgeface": f"job:{made.id}"}), []).id
    supervise(fixtures.tell_all)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.error is not None
    assert job.error["code"] == "weights_not_kept"


def job_that_made_weights(database: Database, settings: Settings) -> JobFiles:
    made = JobFiles(database, settings.artifacts_dir)
    made.checkpoint(1)
    write_edgeface(settings.artifacts_dir / WEIGHTS_MADE.format(made.id))
    made.end(JobStatus.SUCCEEDED, days_ago=30)
    return made


WEIGHTS_MADE = "{}/attempt-1/best-epoch-001/edgeface_backbone.pth"


def test_a_measurement_is_what_the_worker_found_out_and_leaves_no_folder(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    with database.writing() as session:
        job_id = submission.submit(session, CONFIG, [], kind=DRY_RUN).id
    supervise(fixtures.measure)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.measured == asdict(fixtures.DRY_RUN_FINISHED)
    folder = settings.artifacts_dir / job_id
    wait_until(lambda: not (folder / "attempt-1").exists())
    assert folder.is_dir(), "another attempt may be making its folder in it"
    remove_leftovers(database, settings.artifacts_dir)
    assert not folder.exists()


def test_a_job_of_a_later_versions_kind_is_left_to_that_one_and_the_log_says_so(
    database: Database, supervise: Callable[[TrainerMain], Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    job_id = submit(database)
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(kind="distillation"))
    supervise(fixtures.tell_all)
    wait_until(lambda: f"job {job_id} waits for a worker of a later version" in caplog.text)
    assert status(database, job_id) == JobStatus.QUEUED
    assert event_kinds(database, job_id) == ["status"]


def test_what_a_job_foretold_outlives_its_worker(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.foretell_and_die_once)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.attempt == 2
    assert job.predicted is not None
    assert job.predicted["likely"] == pytest.approx(job.predicted["told_after"] + 100.0)
    assert event_kinds(database, job_id).count("predicted") == 1


def test_cancel_ends_the_trainer_within_two_seconds_and_keeps_the_checkpoint(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.train_until_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    asked = time.monotonic()
    with database.writing() as session:
        wishes.request_cancel(session, job_id)
    job = wait_for_status(database, job_id, JobStatus.CANCELLED)
    assert time.monotonic() - asked < 2.0
    assert not alive(pid)
    assert job.checkpoint is not None
    assert job.error is None


def test_a_forced_cancel_settles_the_row_and_the_trainer_ends(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.train_until_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    with database.writing() as session:
        assert wishes.request_cancel(session, job_id, force=True).status == JobStatus.CANCELLED
    wait_until(lambda: not alive(pid))
    assert status(database, job_id) == JobStatus.CANCELLED


def test_a_trainer_that_dies_is_tried_again_and_its_metrics_show_once(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.die_once)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert epochs(database, job) == [(2, 1, 1), (2, 1, 2), (2, 2, 1), (2, 2, 2)]
    told = receipt(database, job)
    assert (told.from_attempt, told.stage, told.epoch, told.step) == (None, None, None, None)
    assert "killed by signal 9" in told.reason


@pytest.mark.parametrize(
    ("trainer", "how"),
    [
        (fixtures.die, "was killed by signal 9"),
        pytest.param(fixtures.die_at_import, "ended with exit code 1", marks=pytest.mark.slow),
    ],
)
def test_a_trainer_that_always_dies_poisons_the_job(
    database: Database, supervise: Callable[[TrainerMain], Supervisor], trainer: TrainerMain, how: str
) -> None:
    job_id = submit(database)
    supervise(trainer)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.attempt == 3
    assert job.error is not None
    assert job.error["code"] == "poison"
    assert how in job.error["message"]


def test_a_job_that_gets_further_each_time_is_not_poisoned(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.die_but_get_further)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.attempt == 6
    assert receipt(database, job).step == 50
    # The last two are of no use once it has succeeded; they are too new to be deleted yet.
    states = sorted(path.name for path in settings.artifacts_dir.rglob("state-*"))
    assert states == ["state-00000040.pth", "state-00000050.pth"]
    wait_until(lambda: no_artifacts(database, job_id))


def test_a_damaged_state_is_passed_over_for_the_one_before(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.lie)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert epochs(database, job) == [(1, 2, 1), (2, 2, 2)]
    told = receipt(database, job)
    assert (told.from_attempt, told.stage, told.epoch, told.step, told.steps_redone) == (1, 2, 1, 0, 10)


def test_a_trainer_that_makes_no_step_is_ended_and_the_job_tried_again(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    settings.stall_seconds, settings.stop_seconds = 4.0, 0.2
    job_id = submit(database)
    supervise(fixtures.hang_once)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.attempt == 2
    assert "made no step" in receipt(database, job).reason


def test_what_the_training_blames_on_the_data_is_not_tried_again(
    database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.fail)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.attempt == 1
    assert job.error is not None
    assert (job.error["code"], job.error["blame"]) == ("image_unreadable", "data")


def test_a_failing_device_is_tried_again(
    database: Database, supervise: Callable[[TrainerMain], Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.attempt.WAIT_SECONDS", 0.2)
    job_id = submit(database)
    supervise(fixtures.fail_by_device_errors)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    with database.reading() as session:
        ends = [attempt.reason or "" for attempt in queries.attempts(session, job_id)]
    assert [end.partition(":")[0] for end in ends] == [
        "the device failed",
        "this machine has a GPU that PyTorch cannot use",
        "too little memory of the GPU is free",
        "unexpected error in the training",
    ]
    assert job.worker_losses == 1, "a GPU that is broken or in use costs no try"


def test_pause_saves_the_state_and_resume_goes_on_from_it(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.save_when_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    with database.writing() as session:
        assert wishes.request_pause(session, job_id).status == JobStatus.PAUSING
    job = wait_for_status(database, job_id, JobStatus.PAUSED)
    assert not alive(pid)
    with database.reading() as session:
        point = queries.resume_points(session, job_id)[0]
    assert (point.stage, point.epoch, point.step, point.steps_done) == (2, 1, 8, 18)
    assert job.progress == 0.18
    with database.writing() as session:
        wishes.resume(session, job_id)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert (job.attempt, job.worker_losses) == (2, 0)
    assert epochs(database, job) == [(1, 2, 1), (2, 2, 2), (2, 2, 3)]
    told = receipt(database, job)
    assert (told.from_attempt, told.epoch, told.step, told.steps_redone) == (1, 1, 8, 0)


def test_a_worker_that_stops_hands_its_job_back_with_its_state(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervisor = supervise(fixtures.save_when_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    supervisor.stop()
    job = wait_for_status(database, job_id, JobStatus.QUEUED)
    assert job.worker_losses == 0
    assert not alive(pid)
    supervise(fixtures.save_when_stopped)
    assert wait_for_status(database, job_id, JobStatus.SUCCEEDED).attempt == 2


@pytest.mark.parametrize("trainer", [fixtures.train_until_stopped, fixtures.die_when_stopped], ids=["deaf", "dies"])
def test_a_worker_that_stops_hands_its_job_back_whatever_its_trainer_does(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor], trainer: TrainerMain
) -> None:
    job_id = submit(database)
    supervisor = supervise(trainer)
    pid = wait_for_trainer(database, settings, job_id)
    supervisor.stop()
    job = wait_for_status(database, job_id, JobStatus.QUEUED)
    assert job.worker_losses == 0
    assert not alive(pid)


def test_a_trainer_told_to_stop_by_the_system_saves_its_state(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    supervise(fixtures.save_when_stopped)
    os.kill(wait_for_trainer(database, settings, job_id), signal.SIGTERM)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert receipt(database, job).step == 8


def test_a_supervisor_that_lost_its_lease_stops_its_trainer_and_writes_nothing(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    settings.rounds_seconds = 3600.0  # nobody rescues: what is written is the supervisor's alone
    job_id = submit(database)
    supervise(fixtures.train_until_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    run_out_lease(database, job_id)
    wait_until(lambda: not alive(pid))
    assert status(database, job_id) == JobStatus.RUNNING


@pytest.mark.slow
def test_a_trainer_whose_supervisor_renews_nothing_ends_itself(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    """As when the supervisor is frozen, or cut off from the database."""
    settings.lease_seconds, settings.heartbeat_seconds = 8.0, 3600.0
    settings.rounds_seconds = 3600.0
    job_id = submit(database)
    supervise(fixtures.train_until_stopped)
    pid = wait_for_trainer(database, settings, job_id)
    wait_until(lambda: not alive(pid))


def test_a_disk_found_full_hands_the_job_back_for_later(
    database: Database, supervise: Callable[[TrainerMain], Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.attempt.WAIT_SECONDS", 0.2)
    job_id = submit(database)
    supervise(fixtures.find_the_disk_full_once)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert (job.attempt, job.worker_losses) == (2, 0)
    assert "no space left" in receipt(database, job).reason


def test_space_is_reserved_and_the_trainer_may_take_it(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    write_dataset(settings.datasets_dir / "faces")
    size = (settings.weights_dir / "edgeface_xxs.pt").stat().st_size
    job_id = submit(database)
    supervise(fixtures.take_the_reserved_space)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    head = 3 * 512 * 4
    assert job.warnings[0]["message"] == str(3 * (size + head) + 2 * size + head)
    assert not list(settings.artifacts_dir.rglob(".reserved"))


def test_a_job_for_which_the_disk_is_too_small_waits_and_says_so(
    database: Database,
    settings: Settings,
    supervise: Callable[[TrainerMain], Supervisor],
) -> None:
    settings.ring_again_seconds = 0.2
    write_dataset(settings.datasets_dir / "faces")
    weights = settings.weights_dir / "edgeface_xxs.pt"
    with weights.open("wb") as file:
        file.truncate(2**42)  # a file of 4 TB that takes no space
    large = submit(database)
    supervise(fixtures.tell_all)
    wait_until(lambda: "waiting" in event_kinds(database, large))
    with database.reading() as session:
        job = queries.get(session, large)
    assert (job.status, job.attempt) == (JobStatus.QUEUED, 0)
    assert job.waiting_reason is not None
    assert re.search(r"the job needs \d+ TB free in ", job.waiting_reason)
    assert job.waiting_reason.endswith(" free in artifacts and prepared")
    write_edgeface(weights)
    job = wait_for_status(database, large, JobStatus.SUCCEEDED)
    assert (job.attempt, job.waiting_reason) == (1, None)
    assert event_kinds(database, large).count("waiting") == 1


def test_the_workers_of_a_machine_share_its_gpus_out_and_a_job_without_one_waits(
    database: Database, settings: Settings, supervise: Callable[..., Supervisor]
) -> None:
    settings.ring_again_seconds = 0.2
    report = GpuReport(gpus=tuple(GpuReading(index=number, uuid=f"GPU-{number}", name="a GPU") for number in range(2)))
    jobs = [submit(database) for _ in range(3)]
    workers = [supervise(fixtures.tell_the_gpu, lambda: report) for _ in range(3)]
    wait_until(lambda: waiting_reason(database, jobs[2]) == "a GPU: other jobs use cuda:0 or cuda:1")
    wait_until(lambda: all("warning" in event_kinds(database, job_id) for job_id in jobs[:2]))
    assert {gpu_told(database, job_id) for job_id in jobs[:2]} == {"0", "1"}
    with database.writing() as session:
        wishes.request_pause(session, jobs[1])
    wait_until(lambda: "warning" in event_kinds(database, jobs[2]))
    assert gpu_told(database, jobs[2]) == gpu_told(database, jobs[1])
    assert len(workers) == 3


def test_a_job_is_not_run_on_the_cpu_where_the_driver_is_broken(
    database: Database,
    settings: Settings,
    supervise: Callable[..., Supervisor],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    settings.ring_again_seconds = 0.2
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "nvidia0").touch()
    monkeypatch.setattr("worker.training.runtime.visible_gpus.ROOT", tmp_path)
    reports = [GpuReport(problem=GpuProblem(code="driver_mismatch", message="two versions", hint="restart"))]
    job_id = submit(database)
    supervise(fixtures.tell_the_gpu, lambda: reports[-1])
    wait_until(lambda: waiting_reason(database, job_id) == "a GPU: two versions; restart")
    reports.append(GpuReport(gpus=(GpuReading(index=0, uuid="GPU-0", name="a GPU"),)))
    wait_until(lambda: "warning" in event_kinds(database, job_id))
    assert gpu_told(database, job_id) == "0"


@pytest.mark.slow
def test_a_job_is_tried_less_and_less_often_where_pytorch_cannot_use_the_gpu(
    database: Database, supervise: Callable[[TrainerMain], Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.attempt.LONGEST_WAIT_SECONDS", 100.0)
    job_id = submit(database)
    supervise(fixtures.find_no_usable_gpu)
    waits = []
    for number in range(1, 4):
        wait_until(lambda number=number: ended_attempts(database, job_id) == number)  # type: ignore[misc]
        with database.writing() as session:
            job, attempt = queries.get(session, job_id), queries.attempts(session, job_id)[-1]
            assert job.waiting_reason is not None
            assert job.waiting_reason.startswith("a GPU: this machine has a GPU that PyTorch cannot use: the driver is")
            assert job.retry_at is not None
            assert attempt.ended_at is not None
            waits.append(round(job.retry_at - attempt.ended_at))
            session.execute(update(Job).where(col(Job.id) == job_id).values(retry_at=None))
    assert waits == [30, 60, 100]


def ended_attempts(database: Database, job_id: str) -> int:
    with database.reading() as session:
        return sum(attempt.ended_at is not None for attempt in queries.attempts(session, job_id))


def gpu_told(database: Database, job_id: str) -> str:
    with database.reading() as session:
        return str(queries.get(session, job_id).warnings[0]["message"])


def test_a_worker_runs_as_many_jobs_at_once_as_it_has_slots(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    settings.slots = 2
    jobs = [submit(database) for _ in range(3)]
    supervise(fixtures.train_until_stopped)
    wait_until(lambda: [status(database, job_id) for job_id in jobs] == ["running", "running", "queued"])
    with database.reading() as session:
        holders = {queries.get(session, job_id).worker_id for job_id in jobs[:2]}
    assert {str(holder).rsplit("/")[-1] for holder in holders} == {"0", "1"}


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.postgresql
def test_a_database_that_is_away_for_less_than_the_lease_costs_nothing(
    database: Database,
    database_url: str,
    settings: Settings,
    supervise: Callable[[TrainerMain], Supervisor],
    caplog: pytest.LogCaptureFixture,
) -> None:
    job_id = submit(database)
    supervise(fixtures.save_when_stopped)
    wait_for_trainer(database, settings, job_id)
    with away(database_url):
        wait_until(lambda: caplog.text.count("the database does not answer") >= 3)
    with database.writing() as session:
        wishes.request_pause(session, job_id)
    job = wait_for_status(database, job_id, JobStatus.PAUSED)
    assert (job.attempt, job.worker_losses) == (1, 0)


def test_a_folder_that_is_away_makes_the_job_wait_and_costs_nothing(
    database: Database,
    settings: Settings,
    supervise: Callable[[TrainerMain], Supervisor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a disk that is not mounted, or not shared with this worker."""
    monkeypatch.setattr("worker.attempt.WAIT_SECONDS", 0.2)
    job_id = submit(database)
    supervise(fixtures.save_when_stopped)
    wait_for_trainer(database, settings, job_id)
    with database.writing() as session:
        wishes.request_pause(session, job_id)
    wait_for_status(database, job_id, JobStatus.PAUSED)
    away_dir = settings.artifacts_dir.with_name("not mounted")
    settings.artifacts_dir.rename(away_dir)
    settings.artifacts_dir.mkdir()
    with database.writing() as session:
        wishes.resume(session, job_id)
    wait_until(lambda: "none of the files" in (waiting_reason(database, job_id) or ""))
    shutil.rmtree(settings.artifacts_dir)
    away_dir.rename(settings.artifacts_dir)
    job = wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert job.worker_losses == 0
    assert receipt(database, job).step == 8


def test_a_machine_that_fails_the_supervisor_is_tried_again(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    (settings.artifacts_dir / job_id).write_text("where the job's folder should be")
    supervise(fixtures.tell_all)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.attempt == 3
    assert job.error is not None
    assert job.error["code"] == "poison"
    assert "NotADirectoryError" in job.error["message"]


def test_what_a_dead_attempt_reserved_is_given_back_before_the_next(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    # That of attempt 1 itself is there until its supervisor is done, a moment after the job has succeeded.
    left = settings.artifacts_dir / job_id / "attempt-0" / ".reserved"
    left.parent.mkdir(parents=True)
    left.write_bytes(bytes(1000))
    supervise(fixtures.tell_all)
    wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    assert not left.exists()


def test_inputs_that_vanished_while_the_job_waited_fail_it_clearly(
    database: Database, settings: Settings, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    job_id = submit(database)
    (settings.weights_dir / "edgeface_xxs.pt").unlink()
    supervise(fixtures.tell_all)
    job = wait_for_status(database, job_id, JobStatus.FAILED)
    assert job.error is not None
    assert job.error["code"] == "weights_not_found"
