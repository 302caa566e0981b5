from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import Session

from app.database import Database
from app.finetune.errors import ErrorReport
from app.jobs import store
from app.jobs.errors import JobNotFound, LeaseLost, WorkerLost
from app.jobs.states import TERMINAL, JobStatus
from app.jobs.store import Claim
from tests.integration.conftest import LEASE_SECONDS, claim, event_kinds, run_out_lease, running, status, submit

LOST = ErrorReport(code="worker_lost", message="lost", hint="look", blame="service")


def expire(database: Database, max_losses: int = 3) -> list[str]:
    with database.writing() as session:
        return store.expire_leases(session, max_losses)


def test_of_many_workers_that_claim_at_once_one_wins_each_job(database: Database) -> None:
    job_ids = {submit(database) for _ in range(5)}

    def claim_as(number: int) -> Claim | None:
        with database.writing() as session:
            return store.claim_next(session, f"worker-{number}", LEASE_SECONDS)

    with ThreadPoolExecutor(8) as pool:
        claims = [claimed for claimed in pool.map(claim_as, range(16)) if claimed is not None]
    assert sorted(claimed.job_id for claimed in claims) == sorted(job_ids)


def test_jobs_are_claimed_in_the_order_submitted(database: Database) -> None:
    submitted = [submit(database) for _ in range(3)]
    with database.reading() as session:
        jobs = [store.get(session, job_id) for job_id in submitted]
        assert [store.queue_position(session, job) for job in jobs] == [1, 2, 3]
    assert [claim(database).job_id for _ in submitted] == submitted


def test_an_attempt_that_lost_its_lease_writes_nothing(database: Database) -> None:
    old = running(database)
    run_out_lease(database, old.job_id)
    assert expire(database) == [old.job_id]
    new = claim(database, "worker-2")
    assert (new.job_id, new.attempt) == (old.job_id, old.attempt + 1)
    before = event_kinds(database, old.job_id)
    writes: list[Callable[[Session], object]] = [
        lambda session: store.renew_lease(session, old, LEASE_SECONDS),
        lambda session: store.record_progress(session, old, progress=0.9, eta_seconds=None, stage=2, epoch=1),
        lambda session: store.record_event(session, old, "checkpoint", {}, checkpoint={}),
        lambda session: store.finish(session, old, JobStatus.SUCCEEDED),
        lambda session: store.hand_back(session, old, "stopped"),
        lambda session: store.lose_trainer(session, old, LOST, 3),
    ]
    for write in writes:
        with pytest.raises(LeaseLost), database.writing() as session:
            write(session)
    assert event_kinds(database, old.job_id) == before
    assert status(database, old.job_id) == JobStatus.PREPARING


def test_a_worker_that_wakes_after_its_lease_writes_nothing_even_before_the_rescue(database: Database) -> None:
    claimed = running(database)
    run_out_lease(database, claimed.job_id)
    with pytest.raises(LeaseLost), database.writing() as session:
        store.renew_lease(session, claimed, LEASE_SECONDS)


@pytest.mark.parametrize("final", sorted(TERMINAL))
def test_a_final_state_is_final(database: Database, final: JobStatus) -> None:
    claimed = running(database)
    with database.writing() as session:
        store.finish(session, claimed, final)
    with pytest.raises(LeaseLost), database.writing() as session:
        store.finish(session, claimed, JobStatus.FAILED)
    with database.writing() as session:
        store.request_cancel(session, claimed.job_id)
    assert expire(database) == []
    assert status(database, claimed.job_id) == final


def test_a_living_lease_is_not_rescued(database: Database) -> None:
    claimed = running(database)
    assert expire(database) == []
    assert status(database, claimed.job_id) == JobStatus.RUNNING


def test_a_job_that_loses_too_many_workers_fails(database: Database) -> None:
    job_id = running(database).job_id
    run_out_lease(database, job_id)
    assert expire(database, max_losses=2) == [job_id]
    claim(database)
    run_out_lease(database, job_id)
    assert expire(database, max_losses=2) == []
    with database.reading() as session:
        job = store.get(session, job_id)
    assert (job.status, job.worker_losses) == (JobStatus.FAILED, 2)
    assert job.error == WorkerLost(2).report().model_dump()


def test_handing_back_spends_no_try(database: Database) -> None:
    claimed = running(database)
    with database.writing() as session:
        assert store.hand_back(session, claimed, "the worker was stopped") is JobStatus.QUEUED
    with database.reading() as session:
        assert store.get(session, claimed.job_id).worker_losses == 0
    assert claim(database).attempt == 2


def test_cancelling_a_queued_job_is_final_at_once_and_safe_to_repeat(database: Database) -> None:
    job_id = submit(database)
    for _ in range(2):
        with database.writing() as session:
            assert store.request_cancel(session, job_id).status == JobStatus.CANCELLED
    assert event_kinds(database, job_id) == ["status", "status"]
    with database.writing() as session:
        assert store.claim_next(session, "worker-1", LEASE_SECONDS) is None


def test_a_cancelling_job_whose_worker_died_is_cancelled(database: Database) -> None:
    claimed = running(database)
    with database.writing() as session:
        assert store.request_cancel(session, claimed.job_id).status == JobStatus.CANCELLING
    run_out_lease(database, claimed.job_id)
    assert expire(database) == []
    assert status(database, claimed.job_id) == JobStatus.CANCELLED


def test_events_are_numbered_without_gaps_whoever_writes_them(database: Database) -> None:
    job_id = submit(database)

    def write(number: int) -> None:
        with database.writing() as session:
            store.append_event(session, job_id, "test", {"number": number})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(30)))
    with database.reading() as session:
        assert [event.number for event in store.events_after(session, job_id, 0)] == list(range(1, 32))
        assert [event.number for event in store.events_after(session, job_id, 29)] == [30, 31]


def test_pages_go_back_in_time_by_status(database: Database) -> None:
    submitted = [submit(database) for _ in range(4)]
    claim(database)
    with database.reading() as session:
        first = store.page(session, statuses=[JobStatus.QUEUED], before=None, limit=2)
        second = store.page(session, statuses=[JobStatus.QUEUED], before=first[-1].id, limit=2)
    assert [job.id for job in [*first, *second]] == submitted[:0:-1]


def test_a_waiting_job_is_rung_for_again_only_after_a_while(database: Database) -> None:
    submit(database)
    with database.writing() as session:
        assert store.take_unrung(session, ring_again_seconds=60)
        assert not store.take_unrung(session, ring_again_seconds=60)
        assert store.take_unrung(session, ring_again_seconds=-1)


def test_an_unknown_job_is_named(database: Database) -> None:
    with pytest.raises(JobNotFound, match="nobody"), database.reading() as session:
        store.get(session, "nobody")
