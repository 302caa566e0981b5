"""The doctor finds each thing that can be wrong, says so, mends it, and then finds nothing."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlmodel import Session, col, delete, select, update

from app.api_models.events import WaitingNoted
from app.database import Database, database_now
from app.doctor import machine
from app.doctor.examination import CHECKS, examine
from app.doctor.findings import Scope
from app.finetune.epoch_metrics import EpochMetrics
from app.jobs import pins, queries
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Attempt, DeletedJob, EpochMetric, Job, JobEvent, WorkerSeen
from app.jobs.transitions import fence, recording, wishes
from app.settings import Settings
from tests.support.command_line import Ended, edgeface_finetune
from tests.support.job_files import JobFiles, write_old, write_prepared

EPOCH: dict[str, Any] = {
    "stage": 2,
    "epoch": 1,
    "epochs": 1,
    "train_loss": 20.5,
    "train_accuracy": 0.25,
    "head_lr": 1e-3,
    "seconds": 1.5,
    "images_per_second": 64.0,
    "best": True,
}


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    settings = Settings(var_dir=tmp_path / "var", database_url=database_url)
    settings.make_directories()
    return settings


@pytest.fixture
def job(database: Database, settings: Settings) -> JobFiles:
    """Claimed; two checkpoints, the first pinned; two states; an epoch."""
    job = JobFiles(database, settings.artifacts_dir)
    with database.writing() as session:
        recording.record_epoch(session, job.claim, EpochMetrics.model_validate(EPOCH))
    job.checkpoint(1)
    with database.writing() as session:
        pins.pin_best(session, job.id)
    job.state(1)
    job.checkpoint(2)
    job.state(2)
    return job


def file_of(job: JobFiles, name: str) -> Path:
    return job.artifacts_dir / job.id / "attempt-1" / name


def doctor(settings: Settings, *options: str) -> Ended:
    return edgeface_finetune(settings, "doctor", *options)


def findings(settings: Settings, *options: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(doctor(settings, "--json", *options).output)["findings"]
    return found


def write(job: JobFiles, change: Callable[[Session], object]) -> None:
    with job.database.writing() as session:
        change(session)


def update_job(job: JobFiles, **columns: object) -> None:
    write(job, lambda session: session.execute(update(Job).where(col(Job.id) == job.id).values(columns)))


# What can be wrong: each makes it so for a job that has failed, all of whose files are an hour old or more.


def lease_runs_out(job: JobFiles, _: Settings) -> None:
    write(job, lambda session: wishes.retry(session, job.id))
    job.claim_again()
    update_job(job, lease_expires_at=database_now() - 60)


def lease_is_left(job: JobFiles, _: Settings) -> None:
    update_job(job, lease_expires_at=database_now() + 60)


def attempt_is_left_open(job: JobFiles, _: Settings) -> None:
    write(job, lambda session: session.execute(update(Attempt).values(ended_at=None)))


def event_is_gone(job: JobFiles, _: Settings) -> None:
    write(job, lambda session: session.execute(delete(JobEvent).where(col(JobEvent.number) == 2)))


def status_is_not_told(job: JobFiles, _: Settings) -> None:
    update_job(job, status=JobStatus.CANCELLED)


def epoch_is_there_twice(job: JobFiles, _: Settings) -> None:
    with (
        job.database.engine.begin() as connection,
        Operations(MigrationContext.configure(connection)).batch_alter_table("epochmetric") as table,
    ):
        table.drop_constraint("uq_epochmetric_once", type_="unique")
    write(job, lambda session: session.add(EpochMetric(job_id=job.id, attempt=2, created_at=0.0, **EPOCH)))


def worker_is_gone(job: JobFiles, _: Settings) -> None:
    write(job, lambda session: session.add(WorkerSeen(id="gone", hostname="host", started_at=0.0, seen_at=0.0)))


def state_is_gone(job: JobFiles, _: Settings) -> None:
    file_of(job, "state-00000002.pth").unlink()


def checkpoint_is_not_listed(job: JobFiles, _: Settings) -> None:
    files = (col(Artifact.epoch) == 2, col(Artifact.kind) != "state")
    write(job, lambda session: session.execute(delete(Artifact).where(*files)))


def file_is_left(job: JobFiles, _: Settings) -> None:
    write_old(file_of(job, "state-00000009.pth"), b"no row names it")


def faces_are_damaged(_: JobFiles, settings: Settings) -> None:
    array, _sidecar = write_prepared(settings.prepared_dir, "a" * 64)
    write_old(array, array.read_bytes()[:-1])


def faces_are_left(_: JobFiles, settings: Settings) -> None:
    write_old(settings.prepared_dir / f".{'a' * 64}.npy.1a2b3c4d.partial", b"half")


def compilation_was_killed(_: JobFiles, settings: Settings) -> None:
    write_old(settings.compiled_dir / ("a" * 64) / "code.py", b"half")


def deletion_was_killed(job: JobFiles, settings: Settings) -> None:
    gone = DeletedJob(id="ab" * 12, owner="anna", deleted_at=0.0)
    write(job, lambda session: session.add(gone))
    write_old(settings.artifacts_dir / gone.id / "attempt-1" / "state-00000001.pth", b"of a deleted job")


BREAKAGES: dict[str, Callable[[JobFiles, Settings], None]] = {
    "leases_run_out": lease_runs_out,
    "leases_left_over": lease_is_left,
    "attempts_left_open": attempt_is_left_open,
    "event_numbers": event_is_gone,
    "epochs_shown_twice": epoch_is_there_twice,
    "status_events": status_is_not_told,
    "workers_gone": worker_is_gone,
    "artifact_files": state_is_gone,
    "checkpoint_rows": checkpoint_is_not_listed,
    "leftover_files": file_is_left,
    "deleted_jobs": deletion_was_killed,
    "prepared_faces": faces_are_damaged,
    "prepared_leftovers": faces_are_left,
    "compiled_leftovers": compilation_was_killed,
}
NOT_FOR_REPAIR = {"unknown_folders", "disk_space", "worker_gpus"}


def test_every_check_has_a_breakage_here() -> None:
    assert {check.__name__ for check in CHECKS} == BREAKAGES.keys() | NOT_FOR_REPAIR


@pytest.mark.parametrize("check", BREAKAGES)
def test_what_is_wrong_is_found_and_mended(job: JobFiles, settings: Settings, check: str) -> None:
    job.end(JobStatus.FAILED)
    assert doctor(settings) == Ended(0, f"no problems: {2 + len(CHECKS)} checks\n", "")
    BREAKAGES[check](job, settings)

    found = doctor(settings)
    assert found.status == 1
    assert found.output.startswith(f"{check}: ")
    assert found.output.endswith("1 finding open\n")
    assert findings(settings) == findings(settings)  # looking changes nothing

    mended = doctor(settings, "--repair")
    assert (mended.status, mended.errors) == (0, "")
    assert mended.output.startswith(f"{check}: repaired: ")
    assert findings(settings) == []


def test_a_job_whose_lease_is_missing_is_rescued(job: JobFiles, settings: Settings) -> None:
    update_job(job, lease_expires_at=None)
    assert doctor(settings, "--repair").status == 0
    assert job.row().status == JobStatus.QUEUED


def test_while_a_job_runs_well_nothing_is_found(job: JobFiles, settings: Settings) -> None:
    write_old(file_of(job, "best-epoch-002/edgeface_finetuned.pth"), b"written anew, and its row comes next")
    write_old(file_of(job, ".state-00000003.pth.1a2b3c4d.partial"), b"half")
    assert findings(settings, "--deep", "--repair") == []


def test_a_lost_best_checkpoint_is_replaced_by_a_whole_one(job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.SUCCEEDED)
    path = file_of(job, "best-epoch-002/edgeface_finetuned.pth")
    path.write_bytes(b"cut")
    (found,) = findings(settings)
    assert f"has 3 bytes instead of {len(b'full 2')}" in found["problem"]
    assert doctor(settings, "--repair").status == 0
    row = job.row()
    assert row.checkpoint is not None
    assert (row.checkpoint.epoch, row.checkpoint.score) == (1, 0.01)
    assert [warning["code"] for warning in row.warnings] == ["checkpoint_lost"]
    assert "that of epoch 1 replaces it" in row.warnings[0]["message"]
    assert job.kinds_of_events()[-1] == "warning"


def test_a_best_checkpoint_that_nothing_can_replace_is_owned_up_to(job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.SUCCEEDED)
    for epoch in (1, 2):
        file_of(job, f"best-epoch-{epoch:03d}/edgeface_finetuned.pth").unlink()
    assert doctor(settings, "--repair").status == 0
    row = job.row()
    assert row.checkpoint is None
    (warning,) = row.warnings  # a damaged one never stood in
    assert "no other is kept" in warning["message"]
    assert findings(settings) == []


def test_only_deep_sees_other_bytes_of_the_same_size(job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.FAILED)
    array, _ = write_prepared(settings.prepared_dir, "a" * 64)
    for path in (file_of(job, "state-00000002.pth"), array):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        write_old(path, bytes(content))
    assert findings(settings) == []
    assert {found["check"] for found in findings(settings, "--deep")} == {"artifact_files", "prepared_faces"}
    assert doctor(settings, "--deep", "--repair").status == 0
    assert job.key_of(file_of(job, "state-00000002.pth")) not in job.listed()
    assert job.key_of(file_of(job, "state-00000001.pth")) in job.listed()
    assert not array.exists()


def test_an_unlisted_checkpoint_that_is_damaged_is_replaced(job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.FAILED)
    checkpoint_is_not_listed(job, settings)
    file_of(job, "best-epoch-002/edgeface_backbone.pth").write_bytes(b"backbone 3")
    assert doctor(settings, "--repair").status == 0
    row = job.row()
    assert row.checkpoint is not None
    assert row.checkpoint.epoch == 1


def test_where_the_whole_folder_is_away_no_row_is_dropped(job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.SUCCEEDED)
    keys = job.listed()
    away = settings.artifacts_dir.rename(settings.var_dir / "unmounted")
    settings.artifacts_dir.mkdir()
    ended = doctor(settings, "--repair")
    assert ended.status == 1
    assert "check that EDGEFACE_ARTIFACTS_DIR is right and its disk mounted" in ended.output
    assert job.listed() == keys

    settings.artifacts_dir.rmdir()
    away.rename(settings.artifacts_dir)
    assert findings(settings) == []
    shutil.rmtree(settings.artifacts_dir)
    assert doctor(settings, "--repair", "--accept-loss").status == 0
    assert job.listed() == set()


def test_folders_that_no_row_knows_are_told_and_left(job: JobFiles, settings: Settings) -> None:
    path = write_old(settings.artifacts_dir / ("0" * 24) / "attempt-1" / "state-00000001.pth", b"another database's")
    job.end(JobStatus.FAILED)
    ended = doctor(settings, "--repair")
    assert ended.status == 0
    assert ended.output.startswith("unknown_folders: note: 1 folder of jobs or attempts")
    assert path.exists()


def test_of_an_epoch_shown_twice_the_newest_attempt_stays(job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.FAILED)
    epoch_is_there_twice(job, settings)
    assert doctor(settings, "--repair").status == 0
    with job.database.reading() as session:
        assert [metric.attempt for metric in queries.metrics(session, job.row())] == [2]


def test_gaps_are_filled_so_that_a_reader_goes_on(job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.FAILED)
    events = len(job.kinds_of_events())
    event_is_gone(job, settings)
    update_job(job, event_count=3)  # the next event would take a number that is taken
    assert doctor(settings, "--repair").status == 0
    assert job.kinds_of_events()[1] == "lost"
    with job.database.writing() as session:
        fence.append_event(session, job.id, WaitingNoted(reason="test"))
        numbers = list(session.exec(select(JobEvent.number).order_by(col(JobEvent.number))))
    assert numbers == list(range(1, events + 2))


def test_low_disk_space_is_told(job: JobFiles, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "LOW_SPACE_BYTES", 2**62)
    (found,) = findings(settings)
    assert found["check"] == "disk_space"
    assert found["remedy"].startswith("free some")
    assert job.row().status == JobStatus.PREPARING


def test_a_repair_that_fails_is_not_called_mended(
    job: JobFiles, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.end(JobStatus.FAILED)
    file_is_left(job, settings)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(Path, "unlink", refuse)
    ended = doctor(settings, "--repair")
    assert ended.status == 1
    assert "repaired" not in ended.output


@pytest.mark.postgresql
def test_several_doctors_and_a_writer_at_once(database_url: str, job: JobFiles, settings: Settings) -> None:
    job.end(JobStatus.FAILED)
    for breakage in (lease_is_left, attempt_is_left_open, event_is_gone, state_is_gone, file_is_left):
        breakage(job, settings)
    databases = [Database(database_url) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            pool.submit(write, job, lambda session: fence.append_event(session, job.id, WaitingNoted(reason="test")))
        list(pool.map(lambda each: examine(Scope(each, settings), repair=True), databases))
    for each in databases:
        each.close()
    assert findings(settings) == []
    assert job.kinds_of_events().count("lost") == 1


def test_a_damaged_database_is_told_and_nothing_else_is_looked_at(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path)
    database = Database(settings.database_url)
    database.migrate()
    for _ in range(50):
        JobFiles(database, settings.artifacts_dir).end(JobStatus.FAILED)
    database.close()
    path = tmp_path / "edgeface.sqlite"
    content = bytearray(path.read_bytes())
    with sqlite3.connect(path) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobevent'").fetchone()
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
    ended = doctor(settings, "--repair")
    assert ended.status == 1
    assert ended.output.startswith("database_file: the database")
    assert "restore the last backup" in ended.output
    assert ended.output.endswith("1 finding open\n")

    path.write_bytes(b"this is no database at all")
    assert doctor(settings).output.startswith("database_file: the database")


def test_a_row_without_its_job_is_told(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path)
    database = Database(settings.database_url)
    database.migrate()
    JobFiles(database, settings.artifacts_dir)
    with sqlite3.connect(tmp_path / "edgeface.sqlite") as connection:
        connection.execute("DELETE FROM job")
    database.close()
    assert "of attempt refers to a row of job that is gone" in doctor(settings).output


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    settings = Settings(var_dir=tmp_path / "nowhere")
    ended = doctor(settings)
    assert ended.status == 1
    assert "there is no database" in ended.errors
    assert not (tmp_path / "nowhere").exists()


def test_tables_of_another_version_are_left_alone(database_url: str, settings: Settings) -> None:
    database = Database(database_url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE job (id VARCHAR)")
    database.close()
    ended = doctor(settings, "--repair")
    assert ended.status == 1
    assert ended.output.startswith("schema: the database has schema version (none)")
