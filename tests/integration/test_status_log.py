"""The log has one line when a job is queued, starts, ends, is paused or is queued again; and none before the commit."""

import logging
import re
from collections.abc import Callable

import pytest

from app.database import Database
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, wishes
from app.jobs.transitions.fence import Claim
from tests.integration.conftest import LOST, claim, paused, preparing, run_out_lease, running, submit

WORK = r"after \d:\d\d:\d\d of work"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[str], list[str]]:
    caplog.set_level(logging.INFO, "app.jobs")

    def of_job(job_id: str) -> list[str]:
        start = f"job {job_id}: a fine-tuning "
        return [message.removeprefix(start) for message in caplog.messages if message.startswith(start)]

    return of_job


def finished(database: Database, status: JobStatus) -> Claim:
    held = running(database)
    with database.writing() as session:
        error = LOST if status is JobStatus.FAILED else None
        columns = {"verdict": "rank-1 rose\nfrom 0.1 to 0.9"} if status is JobStatus.SUCCEEDED else {}
        attempts.finish(session, held, status, error, **columns)
    return held


def lost(database: Database) -> Claim:
    held = running(database)
    run_out_lease(database, held.job_id)
    with database.writing() as session:
        attempts.expire_leases(session, attempts.LossPolicy(max_losses=3))
    return held


def cancelled_in_the_queue(database: Database) -> Claim:
    job_id = submit(database)
    with database.writing() as session:
        wishes.request_cancel(session, job_id)
    return Claim(job_id, 0, "")


STARTS = ["is queued", "starts, attempt 1, on worker worker-1"]


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda database: Claim(submit(database), 0, ""), ["is queued"]),
        (cancelled_in_the_queue, ["is queued", f"is cancelled {WORK}"]),
        (preparing, STARTS),
        (running, STARTS),
        (paused, [*STARTS, f"is paused {WORK}"]),
        (lost, [*STARTS, "is queued again: worker worker-1 did not renew its lease"]),
        (lambda database: finished(database, JobStatus.CANCELLED), [*STARTS, f"is cancelled {WORK}"]),
        (
            lambda database: finished(database, JobStatus.SUCCEEDED),
            [*STARTS, f"succeeded {WORK}: rank-1 rose from 0.1 to 0.9"],
        ),
        (
            lambda database: finished(database, JobStatus.FAILED),
            [*STARTS, rf"failed {WORK}: the training process was killed \(trainer_died\)"],
        ),
    ],
    ids=[
        "submitted",
        "cancelled in the queue",
        "preparing",
        "running",
        "paused",
        "lost",
        "cancelled",
        "succeeded",
        "failed",
    ],
)
def test_each_change_has_one_line(
    make: Callable[[Database], Claim], expected: list[str], database: Database, lines: Callable[[str], list[str]]
) -> None:
    logged = lines(make(database).job_id)
    assert len(logged) == len(expected), logged
    for line, pattern in zip(logged, expected, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_a_change_that_is_rolled_back_is_not_logged(database: Database, lines: Callable[[str], list[str]]) -> None:
    job_id = submit(database)
    held = claim(database)
    before = lines(job_id)
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        attempts.finish(session, held, JobStatus.SUCCEEDED)
        raise ZeroDivisionError
    assert lines(job_id) == before


def test_a_retry_has_a_line_and_the_number_of_its_attempt(
    database: Database, lines: Callable[[str], list[str]]
) -> None:
    held = finished(database, JobStatus.FAILED)
    with database.writing() as session:
        wishes.retry(session, held.job_id)
    claim(database)
    assert lines(held.job_id)[-2:] == [
        "is queued again: retried by a person from the last saved state",
        "starts, attempt 2, on worker worker-1",
    ]
