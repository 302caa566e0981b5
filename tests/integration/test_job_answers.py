"""GET /jobs/{id} as bytes that are kept: never older than the last commit."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from sqlalchemy import event
from sqlmodel import Session

import app.live.answers
from app.api_models.job import JobView
from app.database import Database
from app.finetune.dataset import JobWarning
from app.finetune.events import Progressed
from app.jobs import pins, queries
from app.jobs.errors import JobNotFound
from app.jobs.transitions import fence, recording, wishes
from app.jobs.transitions.fence import Claim
from app.jobs.views import view_job, view_jobs
from app.live.answers import JobAnswers
from app.live.shared_read import SharedRead
from tests.integration.conftest import (
    checkpoint_of,
    failed,
    metrics_of,
    running,
    save_state,
    state_of,
    submit,
    succeeded,
)

WORKER_SEEN_SECONDS = 15.0

CHANGES: dict[str, Callable[[Session, Claim], object]] = {
    "progress": lambda session, claim: recording.record_progress(
        session, claim, Progressed(progress=0.7, eta_seconds=1.0, stage=2, epoch=3, step=4)
    ),
    "epoch": lambda session, claim: recording.record_epoch(session, claim, metrics_of(2, 2, best=True)),
    "checkpoint": lambda session, claim: recording.record_checkpoint(session, claim, checkpoint_of(claim, 2)),
    "state": lambda session, claim: recording.record_state(session, claim, state_of(claim, 2, 3, 4, None)),
    "pin": lambda session, claim: pins.pin_best(session, claim.job_id),
    "files forgotten": lambda session, claim: fence.forget_artifacts(
        session, [each.key for each in queries.artifacts(session, claim.job_id)][:1]
    ),
    "warning": lambda session, claim: fence.add_warning(
        session, claim.job_id, JobWarning(code="a", message="b", hint="c")
    ),
    "pause": lambda session, claim: wishes.request_pause(session, claim.job_id),
    "cancel": lambda session, claim: wishes.request_cancel(session, claim.job_id),
    "forced cancel": lambda session, claim: wishes.request_cancel(session, claim.job_id, force=True),
}


def fresh(database: Database, job_id: str) -> JobView:
    with database.reading() as session:
        return view_job(session, queries.get(session, job_id), WORKER_SEEN_SECONDS)


@pytest.fixture
def views_made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def view(session: Session, job: object, seconds: float) -> JobView:
        made.append(job.id)  # type: ignore[attr-defined]
        return view_job(session, job, seconds)  # type: ignore[arg-type]

    monkeypatch.setattr(app.live.answers, "view_job", view)
    return made


@pytest.mark.parametrize("change", CHANGES)
def test_an_answer_has_whatever_was_committed_before_it_was_asked_for(database: Database, change: str) -> None:
    async def ask() -> None:
        answers = JobAnswers(database, WORKER_SEEN_SECONDS)
        claim = running(database)
        with database.writing() as session:
            recording.record_checkpoint(session, claim, checkpoint_of(claim, 1))
        save_state(database, claim, 2, 1)
        before = [await answers.get(claim.job_id) for _ in range(2)]
        with database.writing() as session:
            CHANGES[change](session, claim)
        after = await answers.get(claim.job_id)
        assert after not in before
        assert after == fresh(database, claim.job_id).model_dump_json().encode()

    asyncio.run(ask())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # on PostgreSQL others' commits count too
def test_while_nothing_is_committed_the_rows_are_read_once(database: Database, views_made: list[str]) -> None:
    async def ask() -> None:
        answers = JobAnswers(database, WORKER_SEEN_SECONDS)
        claim = running(database)
        await asyncio.gather(*(answers.get(claim.job_id) for _ in range(100)))
        await answers.get(claim.job_id)
        assert len(views_made) == 1
        store_progress(database, claim)
        await asyncio.gather(*(answers.get(claim.job_id) for _ in range(100)))
        assert len(views_made) == 2

    asyncio.run(ask())


def store_progress(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        CHANGES["progress"](session, claim)


def test_what_a_queued_job_waits_for_is_looked_up_each_time(database: Database, views_made: list[str]) -> None:
    """It changes with the clock: a worker goes missing, a backoff passes."""

    async def ask() -> None:
        answers = JobAnswers(database, WORKER_SEEN_SECONDS)
        job_id = submit(database)
        for _ in range(3):
            await answers.get(job_id)
        assert len(views_made) == 3

    asyncio.run(ask())


def test_no_more_answers_are_kept_than_said(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.live.answers, "JOBS_KEPT", 2)

    async def ask() -> None:
        answers = JobAnswers(database, WORKER_SEEN_SECONDS)
        ids = [running(database).job_id for _ in range(3)]
        for job_id in ids:
            await answers.get(job_id)
        for unknown in ("nobody", "noone"):
            with pytest.raises(JobNotFound):
                await answers.get(unknown)
        await answers.get(ids[0])
        assert len(answers._answers) == 2

    asyncio.run(ask())


def test_who_asks_while_a_read_goes_on_shares_the_next() -> None:
    begun, go_on = threading.Semaphore(0), threading.Semaphore(0)
    numbers = iter(range(10))

    def read() -> int:
        number = next(numbers)
        begun.release()
        go_on.acquire()
        return number

    async def ask() -> None:
        shared = SharedRead(read)
        first = asyncio.create_task(shared.get())
        await asyncio.to_thread(begun.acquire)
        later = [asyncio.create_task(shared.get()) for _ in range(5)]
        given_up = asyncio.create_task(shared.get())
        await asyncio.sleep(0)
        given_up.cancel()
        go_on.release(2)
        assert await first == 0
        assert await asyncio.gather(*later) == [1] * 5
        go_on.release()
        assert await shared.get() == 2

    asyncio.run(ask())


def test_what_a_read_raises_is_told_to_all_who_share_it_and_to_nobody_else() -> None:
    outcomes: list[Exception | str] = [OSError("away"), "well"]

    def read() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def ask() -> None:
        shared = SharedRead(read)
        told = await asyncio.gather(*(shared.get() for _ in range(3)), return_exceptions=True)
        assert [str(each) for each in told] == ["away"] * 3
        assert await shared.get() == "well"

    asyncio.run(ask())


def test_a_page_of_jobs_takes_as_many_queries_as_one_of_them(database: Database) -> None:
    claims = [succeeded(database), running(database), failed(database)]
    with database.writing() as session:
        recording.record_epoch(session, claims[1], metrics_of(1, 2, best=True))
        recording.record_epoch(session, claims[1], metrics_of(2, 1, best=False))
        recording.record_checkpoint(session, claims[1], checkpoint_of(claims[1], 2))
    made: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *arguments: made.append(arguments[2]))

    def queries_of(claims: list[Claim]) -> list[JobView]:
        made.clear()
        with database.reading() as session:
            return view_jobs(session, [queries.get(session, claim.job_id) for claim in claims], WORKER_SEEN_SECONDS)

    alone = [queries_of([claim])[0] for claim in claims]
    of_one = len(made)
    assert queries_of(claims) == alone
    assert len(made) == of_one + len(claims) - 1  # one for the row of each job itself
    of_running = alone[1]
    assert of_running.latest is not None
    assert of_running.best is not None
    assert ((of_running.latest.stage, of_running.latest.epoch), of_running.best.stage) == ((2, 1), 1)
    assert [view.attempt for view in alone] == [1, 1, 1]
    assert of_running.files
