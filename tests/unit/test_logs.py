"""An entry of the log is one line or one object of JSON: bounded, with its context, without secrets."""

import io
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from app.log_format import LogFormat
from app.logs import LONGEST_MESSAGE, LONGEST_TRACEBACK, LogSetup, hide_secrets, log_fields, log_handler


@contextmanager
def written(log_format: LogFormat) -> Iterator[Callable[[], str]]:
    """The text that a logger writes in the block."""
    stream, logger = io.StringIO(), logging.getLogger("app.of_the_test")
    handler = log_handler(LogSetup("worker", log_format, fields={"worker": "host-1"}), stream)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # pytest-xdist could not pass on a captured name that is not text
    try:
        yield stream.getvalue
    finally:
        logger.removeHandler(handler)
        logger.propagate = True


def entries(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


LOG = logging.getLogger("app.of_the_test")


def fail(depth: int) -> None:
    if depth:
        fail_again(depth - 1)
    raise ValueError("postgresql://faces:pass@word@host/db " + "x" * 50_000)


def fail_again(depth: int) -> None:  # two functions: Python folds the frames of one
    fail(depth)


def test_json_has_the_context_of_thread_and_process() -> None:
    with written("json") as text:
        with log_fields(job="0123", attempt=2):
            LOG.warning("job %s: %s", "0123", "lost", extra={"status": 503})
        LOG.info("after it")
    first, second = entries(text())
    expected = {"level": "warning", "logger": "app.of_the_test", "event": "job 0123: lost", "process": "worker"}
    assert first == {**expected, "worker": "host-1", "job": "0123", "attempt": 2, "status": 503} | {
        "timestamp": first["timestamp"]
    }
    assert first["timestamp"].endswith("+00:00")
    assert "job" not in second


def test_the_fields_of_one_thread_are_not_those_of_another() -> None:
    with written("json") as text, log_fields(job="mine"):
        other = threading.Thread(target=LOG.info, args=("of another thread",))
        other.start()
        other.join()
    assert "job" not in entries(text())[0]


def test_the_console_has_one_line_with_the_words_and_the_context() -> None:
    with written("console") as text, log_fields(job="0123"):
        LOG.info("%s\nERROR app: forged", "a\x1b[2Jname")
    (line,) = text().splitlines()
    time, rest = line[:23], line[23:]
    assert time[4] == time[7] == "-"
    assert rest == (r" INFO app.of_the_test: a\x1b[2Jname\nERROR app: forged [worker=host-1 job=0123]")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_messages_and_tracebacks_are_bounded_and_without_passwords(log_format: LogFormat) -> None:
    with written(log_format) as text:
        LOG.info("x" * 1_000_000)
        try:
            fail(300)
        except ValueError:
            LOG.exception("it failed")
    assert len(text()) < LONGEST_MESSAGE + LONGEST_TRACEBACK + 2_000
    assert "characters left out" in text()
    assert "fail_again" in text()
    assert "pass" not in text().replace("password", "")
    assert "word@host" not in text()


def test_names_that_are_not_text_are_written() -> None:
    with written("json") as text:
        LOG.info("face-\udcff.png")
    assert entries(text())[0]["event"] == "face-\udcff.png"


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("redis://:secret@redis:6379/0 does not answer", "redis://:***@redis:6379/0 does not answer"),
        ("postgresql+psycopg://me:a@b:c/d@host/db", "postgresql+psycopg://me:***@host/db"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer ***"),
        (f"the key eff_{'k' * 43} is unknown", "the key eff_kkkkkk*** is unknown"),
        ("http://host:8000/jobs", "http://host:8000/jobs"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
    ],
)
def test_passwords_of_urls_and_credentials_are_hidden(text: str, hidden: str) -> None:
    assert hide_secrets(text) == hidden
