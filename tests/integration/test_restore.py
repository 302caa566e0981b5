"""A backup with files brings the whole service back into an empty place, or changes nothing there."""

import json
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session, select

from app.api_models.events import WaitingNoted
from app.backup.contents import MANIFEST
from app.database import Database
from app.dataset_roots import weights_roots
from app.jobs.states import JobStatus
from app.jobs.tables import Job, JobEvent
from app.jobs.transitions import fence, submission
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import CONFIG
from tests.integration.test_backup import events_being_written
from tests.integration.uploads.sending import append, begin, file_of, upload
from tests.support.command_line import Ended, edgeface_finetune
from tests.support.datasets import write_edgeface
from tests.support.job_files import JobFiles
from tests.support.servers import postgresql_database

MakeSettings = Callable[[str], Settings]


@pytest.fixture(params=["sqlite", "postgresql"])
def make_settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeSettings]:
    """Settings of services with a folder and a database of their own, by name."""
    opened = []

    def make(name: str) -> Settings:
        url = ""
        if request.param == "postgresql":
            context = postgresql_database(request.getfixturevalue("postgresql"))
            url = context.__enter__()
            opened.append(context)
        settings = Settings(var_dir=tmp_path / name, database_url=url)
        settings.make_directories()
        return settings

    yield make
    for context in opened:
        context.__exit__(None, None, None)


@pytest.fixture
def job(make_settings: MakeSettings) -> Iterator[tuple[Settings, JobFiles]]:
    """A service with a job that has files, and a dataset."""
    settings = make_settings("var")
    database = Database(settings.database_url)
    database.migrate()
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1)
    job.state(1)
    (settings.datasets_dir / "faces").mkdir()
    (settings.datasets_dir / "faces" / "a_1.png").write_bytes(b"a face")
    yield settings, job
    database.close()


def run(settings: Settings, *arguments: object) -> Ended:
    return edgeface_finetune(settings, *map(str, arguments))


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(settings: Settings, model: type[Job] | type[JobEvent]) -> list[dict[str, object]]:
    database = Database(settings.database_url)
    try:
        with database.reading() as session:
            return sorted((each.model_dump() for each in session.exec(select(model))), key=str)
    finally:
        database.close()


def test_what_was_backed_up_under_load_comes_back(
    job: tuple[Settings, JobFiles], make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings, files = job
    backup = tmp_path / "backup"
    with events_being_written(files):
        ended = run(settings, "backup", backup, "--with-files")
    assert (ended.status, ended.errors) == (0, "")
    there = make_settings("restored")
    restored = run(there, "restore", backup)
    assert (restored.status, restored.errors) == (0, "")
    assert files_below(there.artifacts_dir) == files_below(settings.artifacts_dir)
    assert files_below(there.datasets_dir) == {"faces/a_1.png": b"a face"}
    (row,) = rows(there, Job)
    assert row["event_count"] == len(rows(there, JobEvent))  # one moment of the database
    assert row["config"] == files.row().config
    assert run(there, "doctor", "--deep").status == 0

    # The restored service goes on: rows and events get their numbers.
    database = Database(there.database_url)
    database.migrate()
    with database.writing() as session:
        _go_on(session, files.id)
    database.close()


def _go_on(session: Session, job_id: str) -> None:
    fence.append_event(session, job_id, WaitingNoted(reason="data"))
    assert submission.submit(session, CONFIG, []).status == JobStatus.QUEUED


def test_an_upload_goes_on_in_the_restored_service(make_settings: MakeSettings, tmp_path: Path) -> None:
    no_reserve = {"upload_keep_free_gb": 0.0}
    settings, there = (make_settings(name).model_copy(update=no_reserve) for name in ("var", "restored"))
    edgeface = write_edgeface(tmp_path / "edgeface.pt").read_bytes()
    with TestClient(create_app(settings)) as api:
        half = begin(api, 6)
        append(api, half, 0, b"abc")
        body = {"name": "ours.pt", "upload": upload(api, edgeface, "mine.pt")}
        assert api.post("/weights", json=body).status_code == 201
    assert run(settings, "backup", tmp_path / "backup", "--with-files").status == 0
    restored = run(there, "restore", tmp_path / "backup")
    assert (restored.status, restored.errors) == (0, "")
    with TestClient(create_app(there)) as api:
        assert api.head(half).headers["upload-offset"] == "3"
        assert append(api, half, 3, b"def").status_code == 204
        assert file_of(there, half).read_bytes() == b"abcdef"
        assert api.get("/weights").json()["names"] == ["ours.pt"]
    assert (weights_roots(there).uploaded / "ours.pt").read_bytes() == edgeface


def test_a_backup_is_readable_by_its_owner_only(job: tuple[Settings, JobFiles], tmp_path: Path) -> None:
    settings, _ = job
    assert run(settings, "backup", tmp_path / "backup", "--with-files").status == 0
    for path in (tmp_path / "backup", *(tmp_path / "backup" / "files").rglob("*.pth")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.fixture
def backup(var_dir: Path, tmp_path: Path) -> Path:
    """Of a service on SQLite with one job."""
    settings = Settings(var_dir=var_dir)
    settings.make_directories()
    database = Database(settings.database_url)
    job = JobFiles(database, settings.artifacts_dir)
    job.checkpoint(1)
    database.close()
    os.mkfifo(settings.datasets_dir / "pipe")
    (settings.datasets_dir / "link").symlink_to("/etc/passwd")
    ended = run(settings, "backup", tmp_path / "backup", "--with-files")
    assert ended.status == 0
    assert "pipe" in ended.errors
    assert "link" in ended.errors
    return tmp_path / "backup"


def truncate(backup: Path) -> None:
    path = next((backup / "files" / "artifacts").rglob("*.pth"))
    path.write_bytes(path.read_bytes()[:-1])


def change_database(backup: Path) -> None:
    path = backup / "database.sqlite"
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")


def lose(backup: Path) -> None:
    next((backup / "files" / "artifacts").rglob("*.pth")).unlink()


def lead_out(backup: Path) -> None:
    manifest = json.loads((backup / MANIFEST).read_text())
    manifest["files"][-1]["path"] = "files/artifacts/../../../outside"
    (backup / MANIFEST).write_text(json.dumps(manifest))


def lose_manifest(backup: Path) -> None:
    (backup / MANIFEST).unlink()


@pytest.mark.parametrize("damage", [truncate, change_database, lose, lead_out, lose_manifest])
def test_a_damaged_backup_restores_nothing(backup: Path, tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(backup)
    there = Settings(var_dir=tmp_path / "there")
    ended = run(there, "restore", backup)
    assert ended.status == 2
    assert "backup_invalid" in ended.errors
    assert files_below(tmp_path / "there") == {}
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("name", ["edgeface.sqlite", "artifacts/x/model.pth", "datasets/face.png"])
def test_it_restores_only_into_an_empty_place(backup: Path, tmp_path: Path, name: str) -> None:
    present = tmp_path / "there" / name
    present.parent.mkdir(parents=True)
    present.write_bytes(b"of another service")
    ended = run(Settings(var_dir=tmp_path / "there"), "restore", backup)
    assert ended.status == 2
    assert "restore_not_empty" in ended.errors
    assert files_below(tmp_path / "there") == {name: b"of another service"}


def test_a_killed_restoration_can_be_repeated(backup: Path, tmp_path: Path) -> None:
    there = Settings(var_dir=tmp_path / "there")
    half = there.artifacts_dir / ".restoring" / "job" / "attempt-1"
    half.mkdir(parents=True)
    (half / "model.pth").write_bytes(b"half")
    assert run(there, "restore", backup).status == 0
    assert not list(there.var_dir.rglob(".restoring"))
    assert "job/attempt-1/model.pth" not in files_below(there.artifacts_dir)


def test_an_existing_backup_is_not_replaced(backup: Path, var_dir: Path) -> None:
    before = files_below(backup)
    assert run(Settings(var_dir=var_dir), "backup", backup, "--with-files").status == 2
    assert files_below(backup) == before
