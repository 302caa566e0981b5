"""The passwords of database and broker come from files, and the log never shows them."""

import logging
from pathlib import Path

import pytest
from pydantic import ValidationError

from app.logs import log_settings
from app.settings import Settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("p@ss/w:rd\n")
    return path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis:6379/0", "redis://:p%40ss%2Fw%3Ard@redis:6379/0"),
        ("redis://me:former@redis:6379/0", "redis://me:p%40ss%2Fw%3Ard@redis:6379/0"),
    ],
)
def test_the_password_is_put_into_the_url(file: Path, url: str, expected: str) -> None:
    assert Settings(broker_url=url, broker_password_file=file).broker_url == expected


def test_the_database_has_a_password_of_its_own(file: Path) -> None:
    settings = Settings(database_url="postgresql://me@host/faces", database_password_file=file)
    assert settings.database_url == "postgresql+psycopg://me:p%40ss%2Fw%3Ard@host/faces"


@pytest.mark.parametrize(("content", "reason"), [(None, "No such file"), (b"\n", "is empty"), (b"\xff", "not UTF-8")])
def test_a_file_without_a_password_is_refused_by_name(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "password"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValidationError, match=f"broker_password_file: {path}.*{reason}"):
        Settings(broker_url="redis://redis", broker_password_file=path)


def test_a_password_without_a_server_is_refused(file: Path) -> None:
    with pytest.raises(ValidationError, match="broker_password_file: there is no URL"):
        Settings(broker_password_file=file)


def test_the_settings_are_logged_without_passwords(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "app.logs")
    log_settings(
        Settings(
            broker_url="redis://redis:6379/0",
            broker_password_file=file,
            database_url="postgresql://me:secret@host/faces?sslpassword=hidden",
        )
    )
    (line,) = caplog.messages
    assert "EDGEFACE_BROKER_URL=redis://:***@redis:6379/0" in line
    assert "EDGEFACE_DATABASE_URL=postgresql+psycopg://me:***@host/faces?sslpassword=***" in line
    assert "EDGEFACE_SLOTS=1" in line
    assert not any(secret in line for secret in ("p%40ss", "p@ss", "secret", "hidden"))
