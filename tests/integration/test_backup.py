"""A backup is one whole file, taken while the service writes; what it brings back is the service as it was."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.api_models.events import WaitingNoted
from app.database import Database
from app.jobs.states import JobStatus
from app.jobs.transitions import fence
from app.settings import Settings
from tests.integration.conftest import status
from tests.support.command_line import Ended, edgeface_finetune
from tests.support.job_files import JobFiles
from tests.support.servers import postgresql_database


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(var_dir=tmp_path / "var")
    settings.make_directories()
    return settings


@pytest.fixture
def service_database(settings: Settings) -> Iterator[Database]:
    database = Database(settings.database_url)
    database.migrate()
    yield database
    database.close()


def back_up(settings: Settings, *arguments: str | Path) -> Ended:
    return edgeface_finetune(settings, "backup", *map(str, arguments))


@contextmanager
def events_being_written(job: JobFiles) -> Iterator[None]:
    """Several transactions at any time, from several threads."""
    stop, started = threading.Event(), threading.Barrier(3)

    def write() -> None:
        started.wait()
        while not stop.is_set():
            with job.database.writing() as session:
                fence.append_event(session, job.id, WaitingNoted(reason="data " * 100))

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    started.wait()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def counts(path: Path) -> tuple[int, int]:
    """The number of the newest event by the job's row, and how many events there are."""
    connection = sqlite3.connect(path)
    try:
        told: int = connection.execute("SELECT event_count FROM job").fetchone()[0]
        events: int = connection.execute("SELECT count(*) FROM jobevent").fetchone()[0]
    finally:
        connection.close()
    return told, events


def test_a_backup_is_one_moment_of_a_database_that_is_being_written(
    settings: Settings, service_database: Database, tmp_path: Path
) -> None:
    job = JobFiles(service_database, settings.artifacts_dir)
    with service_database.writing() as session:
        for _ in range(4500):  # enough pages for several steps
            fence.append_event(session, job.id, WaitingNoted(reason="data " * 400))
    taken = []
    with events_being_written(job):
        for number in range(5):
            path = tmp_path / f"backup-{number}.sqlite"
            ended = back_up(settings, path)
            assert (ended.status, ended.errors) == (0, "")
            taken.append(counts(path))
    assert path.stat().st_size > 2 * 1024 * 4096
    assert path.read_bytes()[18:20] == b"\x01\x01"  # no write-ahead log belongs to it
    assert all(told == events for told, events in taken)
    assert taken == sorted(set(taken))  # each has more than the one before: the writers never stopped
    assert sorted(each.name for each in tmp_path.iterdir()) == [*(f"backup-{n}.sqlite" for n in range(5)), "var"]


def test_a_backup_is_not_replaced_unless_told(settings: Settings, service_database: Database, tmp_path: Path) -> None:
    JobFiles(service_database, settings.artifacts_dir)
    path = tmp_path / "backup.sqlite"
    path.write_bytes(b"the last one")
    ended = back_up(settings, path)
    assert ended.status == 2
    assert "backup_exists" in ended.errors
    assert path.read_bytes() == b"the last one"
    assert back_up(settings, path, "--force").status == 0
    assert counts(path) == (2, 2)


def test_the_database_itself_is_never_overwritten(settings: Settings, service_database: Database) -> None:
    JobFiles(service_database, settings.artifacts_dir)
    database = settings.var_dir / "edgeface.sqlite"
    assert back_up(settings, database, "--force").status == 2
    assert counts(database) == (2, 2)


def test_a_damaged_copy_is_not_kept(settings: Settings, service_database: Database, tmp_path: Path) -> None:
    for _ in range(50):
        JobFiles(service_database, settings.artifacts_dir)
    service_database.close()
    database = settings.var_dir / "edgeface.sqlite"
    with sqlite3.connect(database) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobevent'").fetchone()
    connection.close()
    content = bytearray(database.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    for damaged in (bytes(content), b"this is no database at all"):
        database.write_bytes(damaged)
        ended = back_up(settings, tmp_path / "backup.sqlite")
        assert ended.status == 1
        assert "backup_damaged" in ended.errors
        assert [each.name for each in tmp_path.iterdir()] == ["var"]


def test_where_it_cannot_be_written_it_says_so(settings: Settings, service_database: Database, tmp_path: Path) -> None:
    JobFiles(service_database, settings.artifacts_dir)
    ended = back_up(settings, tmp_path / "nowhere" / "backup.sqlite")
    assert ended.status == 1
    assert "cannot be written" in ended.errors


def test_without_a_database_none_is_made(tmp_path: Path) -> None:
    ended = back_up(Settings(var_dir=tmp_path / "nowhere"), tmp_path / "backup.sqlite")
    assert ended.status == 1
    assert "there is no database" in ended.errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.postgresql
def test_for_postgresql_it_says_what_to_run(postgresql: str, tmp_path: Path) -> None:
    with postgresql_database(postgresql) as url:
        target = tmp_path / "my backup.dump"
        ended = back_up(Settings(var_dir=tmp_path / "var", database_url=url), target)
        assert ended.status == 2
        assert list(tmp_path.iterdir()) == []
        command = next(line.removeprefix("  hint: ") for line in ended.errors.splitlines() if "hint" in line)
        assert command.startswith("pg_dump --format=custom")
        # The one that pgserver brings; it reads older servers too.
        pg_dump = Path(str(find_spec("pgserver").origin)).parent / "pginstall" / "bin" / "pg_dump"  # type: ignore[union-attr]
        dumped = subprocess.run(command.replace("pg_dump", str(pg_dump), 1), shell=True, check=False)  # noqa: S602
        assert dumped.returncode == 0
        assert target.read_bytes().startswith(b"PGDMP")


@pytest.mark.postgresql
def test_the_password_of_postgresql_is_not_shown(tmp_path: Path) -> None:
    url = "postgresql://edgeface:secret@database.example:5433/faces"
    ended = back_up(Settings(var_dir=tmp_path, database_url=url), tmp_path / "backup.dump")
    assert "secret" not in ended.errors
    assert f"--file={tmp_path / 'backup.dump'} postgresql://edgeface@database.example:5433/faces" in ended.errors


def test_what_docs_operations_says_brings_the_service_back(
    settings: Settings, service_database: Database, tmp_path: Path
) -> None:
    kept = JobFiles(service_database, settings.artifacts_dir)
    kept.checkpoint(1)
    kept.checkpoint(2)
    kept.state(2)
    running = JobFiles(service_database, settings.artifacts_dir)
    running.state(1)
    kept.end(JobStatus.SUCCEEDED)
    assert back_up(settings, tmp_path / "backup.sqlite").status == 0

    later = JobFiles(service_database, settings.artifacts_dir)
    state = later.state(1)
    running.state(2)
    running.end(JobStatus.SUCCEEDED)
    (settings.artifacts_dir / kept.id / "attempt-1" / "best-epoch-002" / "edgeface_finetuned.pth").unlink()
    service_database.close()
    # The service was killed: a write-ahead log is left, and is not the backup's.
    for suffix in ("-wal", "-shm"):
        (settings.var_dir / f"edgeface.sqlite{suffix}").write_bytes(b"of the old database")

    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    block = page.split("### A database alone")[1].split("```")[1].strip()
    commands = [line for line in block.splitlines()[1:] if not line.startswith("#")]
    binaries = tmp_path / ".venv" / "bin"
    binaries.mkdir(parents=True)
    script = binaries / "edgeface-finetune"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m app.cli "$@"\n')
    script.chmod(0o755)
    environment = {**os.environ, "EDGEFACE_VAR_DIR": "var"}
    ran = subprocess.run(
        ["bash", "-ec", "\n".join(commands)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "no problems" in ran.stdout

    database = Database(settings.database_url)
    assert status(database, kept.id) == JobStatus.SUCCEEDED
    checkpoint = kept.row().checkpoint
    assert checkpoint is not None
    assert checkpoint.epoch == 1
    assert running.row().status == JobStatus.PREPARING
    assert state.exists()  # of a job newer than the backup: told, not deleted
    assert later.id in ran.stdout
    database.close()
