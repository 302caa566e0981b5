"""One line per kind of trouble and minute, with the number of those that were held back."""

import logging
from collections.abc import Iterator

import pytest

from app.repeated_lines import MOST_KINDS, RepeatedLines


class Lines(logging.Handler):
    """A handler with the filter, and a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.shown: list[str] = []
        self.repeated = RepeatedLines(60.0, lambda: self.now, each=["tests.jobs"])
        self.addFilter(self.repeated)

    def emit(self, record: logging.LogRecord) -> None:
        self.shown.append(record.getMessage())


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler, root = Lines(), logging.getLogger()
    root.addHandler(handler)
    yield handler
    root.removeHandler(handler)


log = logging.getLogger("tests.repeated")


def test_a_thousand_lines_of_one_kind_are_one_line_and_their_number(lines: Lines) -> None:
    for number in range(1000):
        log.warning("the database does not answer: %s", number)
    assert lines.shown == ["the database does not answer: 0"]
    lines.now = 61.0
    lines.repeated.report_held_back()
    assert lines.shown[1:] == ["999 more lines like this in 60 s: the database does not answer: %s"]


def test_a_line_after_the_minute_passes_after_the_number_of_those_before(lines: Lines) -> None:
    log.warning("the broker is down")
    log.warning("the broker is down")
    lines.now = 61.0
    log.warning("the broker is down")
    assert lines.shown == [
        "the broker is down",
        "1 more line like this in 60 s: the broker is down",
        "the broker is down",
    ]


def test_other_troubles_news_and_lines_about_jobs_pass(lines: Lines) -> None:
    logging.getLogger("tests.repeated").setLevel(logging.INFO)
    for job in ("a", "b"):
        log.info("job %s starts", job)
        logging.getLogger("tests.jobs").warning("job %s failed", job)
        log.error("disk %s is full" if job == "a" else "disk %s is gone", job)
    assert lines.shown == [
        "job a starts",
        "job a failed",
        "disk a is full",
        "job b starts",
        "job b failed",
        "disk b is gone",
    ]


def test_lines_about_refused_requests_are_held_back_while_those_about_answered_ones_pass(lines: Lines) -> None:
    logging.getLogger("tests.repeated").setLevel(logging.INFO)
    for status in (200, 429, 503, 200, 429, 503):
        log.info("GET /jobs %s", status, extra={"status": status})
    assert lines.shown == [f"GET /jobs {status}" for status in (200, 429, 503, 200)]


def _fail_here() -> None:
    raise ValueError("here")


def _fail_there() -> None:
    raise ValueError("there")


def test_exceptions_are_one_kind_if_the_same_line_raised_them(lines: Lines) -> None:
    for fail in (_fail_here, _fail_there, _fail_here, _fail_there):
        try:
            fail()
        except ValueError as error:
            log.exception("unexpected: %s", error)
    assert lines.shown == ["unexpected: here", "unexpected: there"]


def test_an_event_of_structlog_is_a_kind_by_its_event(lines: Lines) -> None:
    for job in ("a", "b"):
        log.warning({"event": "the worker is silent", "job": job})
    assert len(lines.shown) == 1


def test_it_remembers_a_bounded_number_of_kinds(lines: Lines) -> None:
    for number in range(MOST_KINDS + 1):
        log.warning(f"trouble {number}")
    log.warning("trouble 0")
    assert lines.shown.count("trouble 0") == 2
    assert len(lines.repeated._seen) == MOST_KINDS
