"""Many readers of one job's events: each gets each event once, whenever it comes and however slow it is."""

import asyncio
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

import pytest

import app.live.feeds
import app.live.look
from app.database import Database
from app.finetune.events import Progressed
from app.jobs.states import JobStatus
from app.jobs.tables import JobEvent
from app.jobs.transitions import attempts, recording, wishes
from app.jobs.transitions.fence import Claim
from app.live.feeds import Feeds
from tests.integration.conftest import failed, job_of, metrics_of, running, train_epoch

MANY = 200
SECONDS = 60.0
"""A test that hangs fails after this."""


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.live.feeds, "POLL_SECONDS", 0.005)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def within() -> None:
        await asyncio.wait_for(test(), SECONDS)

    asyncio.run(within())


def numbers(chunks: list[bytes]) -> list[int]:
    return [int(number) for number in re.findall(rb"^id: (\d+)$", b"".join(chunks), re.MULTILINE)]


async def read_all(stream: AsyncGenerator[bytes, None]) -> list[bytes]:
    return [chunk async for chunk in stream]


async def read_until(stream: AsyncGenerator[bytes, None], number: int) -> list[bytes]:
    """Up to the event `number` and what came with it."""
    chunks: list[bytes] = []
    async for chunk in stream:
        chunks.append(chunk)
        if number in numbers([chunk]):
            break
    return chunks


def succeed(database: Database, claim: Claim) -> None:
    with database.writing() as session:
        attempts.finish(session, claim, JobStatus.SUCCEEDED)


def event_count(database: Database, claim: Claim) -> int:
    return job_of(database, claim.job_id).event_count


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[tuple[Any, ...]]:
    """The arguments of each call."""
    calls: list[tuple[Any, ...]] = []
    called = getattr(module, name)

    def call(*arguments: Any) -> Any:
        calls.append(arguments)
        return called(*arguments)

    monkeypatch.setattr(module, name, call)
    return calls


def test_many_readers_cost_as_many_reads_as_one(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = counted(monkeypatch, app.live.feeds, "look_again")
    behind = counted(monkeypatch, app.live.feeds, "frames_after")
    made = counted(monkeypatch, app.live.look, "_frame")

    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        streams = [feeds.stream(claim.job_id, 0) for _ in range(MANY)]
        already = event_count(database, claim)
        await asyncio.gather(*(read_until(stream, already) for stream in streams))
        readers = [asyncio.create_task(read_all(stream)) for stream in streams]
        commits = 10
        for epoch in range(1, commits):
            train_epoch(database, claim, 1, epoch)
            await asyncio.sleep(0)
        succeed(database, claim)
        for chunks in await asyncio.gather(*readers):
            assert numbers(chunks) == list(range(already + 1, already + commits + 1))
        if database.engine.dialect.name == "sqlite":  # on PostgreSQL others' commits count too
            assert len(looks) <= 1 + commits
        assert not behind
        serialised = [event.number for (event,) in made if isinstance(event, JobEvent)]
        assert serialised == list(range(1, already + commits + 1))
        assert not feeds.watched

    run(test)


@pytest.mark.parametrize("kept", [1000, 3], ids=["from memory", "from the rows"])
def test_a_late_reader_gets_what_it_missed_and_then_what_comes(
    database: Database, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(app.live.feeds, "FRAMES_KEPT", kept)
    monkeypatch.setattr(app.live.feeds, "FRAMES_AT_ONCE", 4)

    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        for epoch in range(1, 13):
            train_epoch(database, claim, 1, epoch)
        last = event_count(database, claim)
        early = feeds.stream(claim.job_id, 0)
        seen = {0: await read_until(early, last)}
        late = {number: feeds.stream(claim.job_id, number) for number in range(1, last + 1)}
        for number, stream in late.items():
            # Whoever has missed nothing sees where the job is first.
            seen[number] = [await anext(stream), await anext(stream)]
        succeed(database, claim)
        for number, stream in ({0: early} | late).items():
            chunks = seen[number] + await read_all(stream)
            assert numbers(chunks) == list(range(number + 1, last + 2)), number
        assert not feeds.watched

    run(test)


def test_a_slow_reader_holds_up_nobody_and_nothing_is_queued_for_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.live.feeds, "FRAMES_KEPT", 5)
    monkeypatch.setattr(app.live.feeds, "FRAMES_AT_ONCE", 4)

    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        already = event_count(database, claim)
        slow, quick = feeds.stream(claim.job_id, already), feeds.stream(claim.job_id, already)
        for stream in (slow, quick):
            await anext(stream), await anext(stream)
        chunks = []
        for epoch in range(1, 41):  # the slow one takes nothing meanwhile
            train_epoch(database, claim, 1, epoch)
            chunks += await read_until(quick, already + epoch)
        assert len(feeds._feeds[claim.job_id].look.frames) == 5
        succeed(database, claim)
        everything = list(range(already + 1, already + 42))
        assert numbers(chunks + await read_all(quick)) == everything
        caught_up = await read_all(slow)
        assert numbers(caught_up) == everything
        assert max(len(numbers([chunk])) for chunk in caught_up) <= 4
        assert not feeds.watched

    run(test)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # on PostgreSQL others' commits count too
def test_while_nothing_is_committed_no_row_is_read(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = counted(monkeypatch, app.live.feeds, "look_again")

    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        stream = feeds.stream(claim.job_id, 0)
        await read_until(stream, event_count(database, claim))
        for _ in range(10):
            await feeds._feeds[claim.job_id].refresh()
        assert len(looks) == 1
        await stream.aclose()

    run(test)


def test_progress_comes_by_itself(database: Database) -> None:
    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        stream = feeds.stream(claim.job_id, event_count(database, claim))
        for step in (1, 2, 3):
            advance(database, claim, step)
            while f'"step":{step}'.encode() not in await anext(stream):
                pass
        await stream.aclose()

    run(test)


def test_where_there_are_many_readers_progress_waits_but_no_event_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.live.feeds, "PROGRESS_FRAMES_PER_SECOND", 1e-9)  # as if there were very many

    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        already = event_count(database, claim)
        stream = feeds.stream(claim.job_id, already)
        await anext(stream), await anext(stream)
        reading = asyncio.create_task(read_until(stream, already + 1))
        for step in range(1, 101):
            advance(database, claim, step)
            await feeds._feeds[claim.job_id].refresh()
        train_epoch(database, claim, 1, 1)
        chunks = await reading
        # When it joined, at most once more as the watcher began, and with the event.
        assert b"".join(chunks).count(b"event: progress") <= 3
        assert b'"step":100' in chunks[-1]
        await stream.aclose()

    run(test)


def advance(database: Database, claim: Claim, step: int) -> None:
    with database.writing() as session:
        recording.record_progress(
            session, claim, Progressed(progress=0.1, eta_seconds=None, stage=1, epoch=1, step=step)
        )


def test_streams_end_when_the_service_stops(database: Database) -> None:
    async def test() -> None:
        stopping = threading.Event()
        feeds, claim = Feeds(database, stopping), running(database)
        already = event_count(database, claim)
        streams = [feeds.stream(claim.job_id, 0) for _ in range(5)]
        await asyncio.gather(*(read_until(stream, already) for stream in streams))
        readers = [asyncio.create_task(read_all(stream)) for stream in streams]
        await asyncio.sleep(0)  # now they wait for what comes next
        stopping.set()
        await asyncio.gather(*readers)
        assert not feeds.watched
        assert numbers(await read_all(feeds.stream(claim.job_id, 0))) == []

    run(test)


def test_a_stream_does_not_end_with_a_pause(database: Database) -> None:
    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        stream = feeds.stream(claim.job_id, event_count(database, claim))
        with database.writing() as session:
            wishes.request_pause(session, claim.job_id)
            attempts.hand_back(session, claim, "paused by a person")
        last = event_count(database, claim)
        await read_until(stream, last)
        with database.writing() as session:
            wishes.resume(session, claim.job_id)
        assert numbers(await read_until(stream, last + 1)) == [last + 1]
        await stream.aclose()

    run(test)


def test_who_joins_after_a_retry_does_not_meet_the_end_that_was_before_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), failed(database)
        last = event_count(database, claim)
        lingering = feeds.stream(claim.job_id, 0)
        await read_until(lingering, last)  # it has not been told yet that this was the end
        monkeypatch.setattr(app.live.feeds._Feed, "_watch", lambda _: asyncio.sleep(0))
        with database.writing() as session:
            wishes.retry(session, claim.job_id)
        joined = feeds.stream(claim.job_id, last)
        assert numbers(await read_until(joined, last + 1)) == [last + 1]
        for stream in (lingering, joined):
            await stream.aclose()

    run(test)


def test_readers_that_leave_free_their_watcher(database: Database) -> None:
    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        already = event_count(database, claim)
        streams = [feeds.stream(claim.job_id, 0) for _ in range(3)]
        for stream in streams:
            await read_until(stream, already)
        watcher = feeds._feeds[claim.job_id]._watcher
        waiting = asyncio.create_task(anext(streams[0]))
        await asyncio.sleep(0)
        waiting.cancel()
        for stream in streams[1:]:
            assert list(feeds.watched) == [claim.job_id]
            await stream.aclose()
        await asyncio.wait([waiting, watcher])
        assert watcher.cancelled()
        assert not feeds.watched

    run(test)


@pytest.mark.postgresql
def test_a_database_that_is_away_for_a_while_ends_no_stream(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        monkeypatch.setattr(app.live.feeds._log, "exception", lambda *_: loop.call_soon_threadsafe(told.set))
        feeds, claim = Feeds(database, threading.Event()), running(database)
        already = event_count(database, claim)
        stream = feeds.stream(claim.job_id, 0)
        await read_until(stream, already)
        rename(database, "job", "moved")
        await told.wait()
        rename(database, "moved", "job")
        with database.writing() as session:
            recording.record_epoch(session, claim, metrics_of(1, 1))
        assert numbers(await read_until(stream, already + 1)) == [already + 1]
        await stream.aclose()

    run(test)


def rename(database: Database, old: str, new: str) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {old} RENAME TO {new}")


def test_a_connection_is_kept_alive_while_nothing_happens(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.live.feeds, "KEEP_ALIVE_SECONDS", 0.01)

    async def test() -> None:
        feeds, claim = Feeds(database, threading.Event()), running(database)
        stream = feeds.stream(claim.job_id, event_count(database, claim))
        assert [await anext(stream) for _ in range(4)][2:] == [b": still here\n\n"] * 2
        await stream.aclose()

    run(test)
