"""Quota, disk space and expiry of uploads."""

import os
import shutil
import time
from collections import namedtuple
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, select, update

import app.uploads.rows
from app.access.tables import AuditEntry
from app.cleaner import clean
from app.database import Database, database_now
from app.jobs.tables import Upload
from app.main import create_app
from app.settings import Settings
from tests.integration.uploads.sending import append, begin, file_of


def test_announced_bytes_count_before_they_come(var_dir: Path) -> None:
    settings = Settings(var_dir=var_dir, upload_quota_gb=1e-6, upload_keep_free_gb=0.0)
    settings.make_directories()
    with TestClient(create_app(settings)) as api:
        path = begin(api, 700)
        refused = api.post("/uploads", headers={"Upload-Length": "301"})
        assert (refused.status_code, refused.json()["code"]) == (413, "upload_quota_exceeded")
        form = api.post("/uploads", files={"file": ("f", b"x" * 300)})
        assert (form.status_code, form.json()["code"]) == (413, "upload_quota_exceeded")
        begin(api, 300)
        api.delete(path)
        begin(api, 700)


def test_no_upload_takes_what_the_disk_keeps_free(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10_000, 9_000, 1_000))
    path = begin(api, 600)
    append(api, path, 0, b"x" * 200)  # which the disk's own figure has counted since: 400 are still to come
    refused = api.post("/uploads", headers={"Upload-Length": "601"})
    assert (refused.status_code, refused.json()["code"]) == (507, "upload_disk_full")
    begin(api, 600)
    assert [each["length"] for each in api.get("/uploads").json()["uploads"]] == [600, 600]


def test_a_disk_that_fills_keeps_what_came(
    api: TestClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begin(api, 6)
    append(api, path, 0, b"abc")
    write = os.write

    def full(descriptor: int, content: memoryview) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().is_relative_to(settings.uploads_dir):
            raise OSError(28, "No space left on device")
        return write(descriptor, content)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        refused = append(api, path, 3, b"def")
    assert (refused.status_code, refused.json()["code"]) == (507, "upload_disk_full")
    assert append(api, path, 3, b"def").status_code == 204
    assert file_of(settings, path).read_bytes() == b"abcdef"


def test_unfinished_uploads_are_counted(api: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.uploads.rows, "MOST_UNFINISHED", 2)
    paths = [begin(api, 1), begin(api, 1)]
    refused = api.post("/uploads", headers={"Upload-Length": "1"})
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_uploads")
    append(api, paths[0], 0, b"x")
    begin(api, 1)


def expire(database: Database, path: str) -> None:
    with database.writing() as session:
        upload = update(Upload).where(col(Upload.id) == path.rpartition("/")[2])
        session.execute(upload.values(expires_at=database_now() - 1))


def test_an_expired_upload_is_gone_and_cleaned(api: TestClient, settings: Settings) -> None:
    expired, kept = begin(api, 3), begin(api, 3)
    database = Database(settings.database_url)
    expire(database, expired)
    assert api.head(expired).status_code == 404
    assert [each["links"]["self"] for each in api.get("/uploads").json()["uploads"]] == [kept]
    clean(database, settings)
    assert not file_of(settings, expired).exists()
    assert file_of(settings, kept).exists()
    assert api.get("/uploads").json()["used_bytes"] == 3
    database.close()


def test_uploads_are_in_the_audit_from_their_begin_to_their_end(api: TestClient, settings: Settings) -> None:
    deleted, whole, expired = (begin(api, 3, name) for name in ("a.zip", "b.zip", "c.zip"))
    append(api, whole, 0, b"abc")
    api.delete(deleted)
    database = Database(settings.database_url)
    expire(database, expired)
    clean(database, settings)
    with database.reading() as session:
        entries = session.exec(select(AuditEntry).order_by(col(AuditEntry.id))).all()
    database.close()
    assert [(each.action, each.target, each.who, each.details["name"]) for each in entries] == [
        ("begin upload", deleted, "local", "a.zip"),
        ("begin upload", whole, "local", "b.zip"),
        ("begin upload", expired, "local", "c.zip"),
        ("finish upload", whole, "local", "b.zip"),
        ("delete", deleted, "local", "a.zip"),
        ("expire", expired, "admin", "c.zip"),
    ]


def test_files_without_a_row_are_cleaned_once_they_are_old(api: TestClient, settings: Settings) -> None:
    kept = begin(api, 3)
    folder = file_of(settings, kept).parent
    old, new, foreign = folder / ("0" * 24), folder / ("1" * 24), folder / "notes.txt"
    for path in (old, new, foreign):
        path.write_bytes(b"x")
    for path in (old, foreign, file_of(settings, kept)):
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    database = Database(settings.database_url)
    clean(database, settings)
    database.close()
    assert sorted(path.name for path in folder.iterdir()) == sorted([new.name, foreign.name, kept.rpartition("/")[2]])
