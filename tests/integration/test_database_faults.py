"""Each fault of the database has its own error, in answers and in the readiness; and faults of requests have theirs."""

import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from app.database import Database
from app.database_errors import DatabaseReadOnly, explain
from app.main import create_app
from app.routes.dependencies import Service
from app.settings import Settings
from tests.support.job_files import JobFiles
from tests.support.privileges import bound_by_modes

CONFIG = {"dataset": "faces", "stage1_epochs": 0, "stage2_epochs": 1}


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with bound_by_modes(), TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def database_of(api: TestClient) -> Database:
    service: Service = api.app.state.service  # type: ignore[attr-defined]
    return service.database


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found["hint"]
    return found


def test_a_damaged_database_says_what_the_doctor_can_do(api: TestClient, settings: Settings) -> None:
    database_of(api).engine.dispose()
    path = settings.var_dir / "edgeface.sqlite"
    path.write_bytes(b"x" * path.stat().st_size)
    for leftover in ("-wal", "-shm"):
        path.with_name(path.name + leftover).unlink(missing_ok=True)
    found = problem(api.get("/jobs"), 503)
    assert (found["code"], found["blame"]) == ("database_damaged", "service")
    assert "edgeface-finetune doctor" in found["hint"]
    ready = api.get("/health/ready")
    assert (ready.status_code, ready.json()["database"]) == (503, False)
    assert ready.json()["database_problem"]["code"] == "database_damaged"


def test_damage_that_a_request_met_stays_in_the_readiness(api: TestClient, settings: Settings) -> None:
    """The rows that the readiness reads itself may be whole."""
    assert api.post("/jobs", json=CONFIG).status_code == 201
    with database_of(api).reading() as session:
        (page,) = session.execute(text("SELECT rootpage FROM sqlite_schema WHERE name = 'job'")).one()
        (size,) = session.execute(text("PRAGMA page_size")).one()
    with closing(sqlite3.connect(settings.var_dir / "edgeface.sqlite")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database_of(api).engine.dispose()
    with (settings.var_dir / "edgeface.sqlite").open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    with pytest.raises(DBAPIError), database_of(api).reading() as session:
        session.execute(text("SELECT count(*) FROM job NOT INDEXED")).one()
    assert api.get("/health/ready").json()["database_problem"]["code"] == "database_damaged"


def test_a_full_disk_is_not_worth_another_try_at_once(api: TestClient) -> None:
    engine = database_of(api).engine
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count=1"))
    engine.dispose()
    answers = [api.post("/jobs", json=CONFIG | {"seed": seed}) for seed in range(12)]
    found = problem(next(answer for answer in answers if answer.status_code != 201), 507)
    assert (found["code"], "free space" in found["hint"]) == ("database_disk_full", True)


@pytest.fixture
def read_only_disk(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Moves a folder to a disk that is mounted read-only then."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a disk")

    def move(folder: Path) -> Path:
        shutil.copytree(folder, disk / folder.name)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        return disk / folder.name

    yield move
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_disk_that_is_mounted_read_only_is_not_worth_another_try(
    settings: Settings, read_only_disk: Callable[[Path], Path]
) -> None:
    moved = read_only_disk(settings.var_dir)
    database = Database(f"sqlite:///{moved / 'edgeface.sqlite'}")
    with pytest.raises(DBAPIError) as refused, database.writing() as session:
        session.execute(text("DELETE FROM job"))
    database.close()
    assert isinstance(explain(refused.value), DatabaseReadOnly)


@pytest.mark.parametrize("part", [".", "edgeface.sqlite"])
def test_a_database_whose_modes_forbid_writing_says_so(settings: Settings, part: str) -> None:
    """A descriptor that was opened before still writes: only a new connection meets the mode."""
    with bound_by_modes():
        (settings.var_dir / part).chmod(0o555 if part == "." else 0o444)
        database = Database(settings.database_url)
        with pytest.raises(DBAPIError) as refused, database.writing() as session:
            session.execute(text("DELETE FROM job"))
        database.close()
        settings.var_dir.chmod(0o755)
    assert isinstance(explain(refused.value), DatabaseReadOnly)


def test_a_wrong_statement_is_a_fault_of_the_program(api: TestClient) -> None:
    with pytest.raises(DBAPIError) as wrong, database_of(api).reading() as session:
        session.execute(text("SELECT :secret FROM"), {"secret": "hunter2"})
    assert "hunter2" not in str(wrong.value)
    assert not database_of(api).damaged


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", "GET, POST, HEAD"),
        ("POST", "/health/live", "GET, HEAD"),
        ("PUT", "/datasets", "GET, POST, HEAD"),
        ("GET", "/evaluations", "POST"),
    ],
)
def test_405_names_all_methods_of_the_path(api: TestClient, method: str, path: str, allowed: str) -> None:
    answer = api.request(method, path)
    assert problem(answer, 405)["code"] == "method_not_allowed"
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(("asked", "status"), [("bytes=900000-", 416), ("bytes=5-2", 400), ("lines=1-2", 400)])
def test_a_wrong_range_is_a_problem(api: TestClient, settings: Settings, asked: str, status: int) -> None:
    job = JobFiles(database_of(api), settings.artifacts_dir)
    job.checkpoint(1, backbone_bytes=b"x" * 300)
    answer = api.get(f"/jobs/{job.id}/checkpoint?format=backbone", headers={"Range": asked})
    found = problem(answer, status)
    assert asked in found["detail"]
    assert answer.headers.get("content-range") == ("bytes */300" if status == 416 else None)
    assert "etag" not in answer.headers


def test_a_stored_file_that_may_not_be_read_is_not_missing(api: TestClient, settings: Settings) -> None:
    job = JobFiles(database_of(api), settings.artifacts_dir)
    job.checkpoint(1, backbone_bytes=b"x" * 300)
    for path in settings.artifacts_dir.rglob("*.pth"):
        path.chmod(0)
    found = problem(api.get(f"/jobs/{job.id}/checkpoint"), 503)
    assert (found["code"], "Permission denied" in found["detail"]) == ("file_unreadable", True)
