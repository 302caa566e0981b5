import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select, update

from app.api_models.attempts import ResumeReceipt
from app.api_models.events import WaitingNoted
from app.artifacts import Artifacts
from app.database import Database, database_now
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.events import EvaluationStarted, Progressed, StageStarted
from app.jobs import queries
from app.jobs.attempt_errors import LeaseLost, Poisoned, WorkerLost
from app.jobs.errors import IdempotencyKeyReused, JobNotFound, NotPausable, NotPaused, NotRetryable, StatesGone
from app.jobs.search import JobFilter, find_jobs
from app.jobs.states import CLAIMED, NEXT, RETRYABLE, TERMINAL, JobStatus
from app.jobs.tables import Artifact, Attempt, Job
from app.jobs.transitions import attempts, fence, recording, rounds, submission, wishes
from app.jobs.transitions.attempts import LossPolicy
from app.jobs.transitions.fence import Claim
from tests.integration.conftest import (
    CONFIG,
    LEASE_SECONDS,
    LOST,
    begin,
    cancelled,
    cancelling,
    checkpoint_of,
    claim,
    claim_next,
    event_kinds,
    failed,
    job_of,
    job_that_is,
    let_backoff_pass,
    metrics_of,
    paused,
    pausing,
    preparing,
    resume_points,
    run_out_lease,
    running,
    save_state,
    state_of,
    status,
    submit,
    train_epoch,
    write_checkpoint,
)
from worker.messages import StillPreparing, TrainerMessage
from worker.recording import record

PATIENT = LossPolicy(max_losses=3)
PREPARED = EvaluationStarted("cpu")
WARNING = JobWarning(code="subject_with_one_image", message="subject 007 has one image")


def expire(database: Database, policy: LossPolicy = PATIENT) -> list[str]:
    with database.writing() as session:
        return attempts.expire_leases(session, policy)


def lose_worker(database: Database, claimed: Claim, policy: LossPolicy = PATIENT) -> None:
    run_out_lease(database, claimed.job_id)
    expire(database, policy)


def lose_trainer(database: Database, claimed: Claim, policy: LossPolicy = PATIENT) -> JobStatus:
    with database.writing() as session:
        return attempts.lose_trainer(session, claimed, LOST, policy)


def hand_back(database: Database, claimed: Claim, retry_in: float = 0.0) -> JobStatus:
    with database.writing() as session:
        return attempts.hand_back(session, claimed, "the worker was stopped", retry_in=retry_in)


def cancel(database: Database, job_id: str, *, force: bool = False) -> str:
    with database.writing() as session:
        return wishes.request_cancel(session, job_id, force=force).status


def pause(database: Database, job_id: str) -> str:
    with database.writing() as session:
        return wishes.request_pause(session, job_id).status


def resume(database: Database, job_id: str) -> str:
    with database.writing() as session:
        return wishes.resume(session, job_id).status


def retry(database: Database, job_id: str, *, from_start: bool = False) -> str:
    with database.writing() as session:
        return wishes.retry(session, job_id, from_start=from_start).status


def wait_seconds(database: Database, job_id: str) -> float | None:
    """How long the job is not claimed yet."""
    with database.reading() as session:
        job = queries.get(session, job_id)
        return None if job.retry_at is None else job.retry_at - fence.clock(session)


def artifact_keys(database: Database, job_id: str) -> set[str]:
    with database.reading() as session:
        return {artifact.key for artifact in queries.artifacts(session, job_id)}


def epochs_shown(database: Database, job_id: str) -> list[tuple[int, int, int]]:
    with database.reading() as session:
        metrics = queries.metrics(session, queries.get(session, job_id))
        return [(metric.attempt, metric.stage, metric.epoch) for metric in metrics]


def attempt_of(database: Database, claimed: Claim) -> Attempt:
    with database.reading() as session:
        return session.get_one(Attempt, (claimed.job_id, claimed.attempt))


# --- claims


@pytest.mark.postgresql
def test_of_many_workers_that_claim_at_once_one_wins_each_job(database: Database) -> None:
    job_ids = {submit(database) for _ in range(5)}

    def claim_each(number: int) -> list[Claim]:
        claims = []
        for job_id in job_ids:
            with database.writing() as session:
                if (claimed := attempts.claim(session, job_id, f"worker-{number}", LEASE_SECONDS)) is not None:
                    claims.append(claimed)
        return claims

    with ThreadPoolExecutor(8) as pool:
        claims = [claimed for claims in pool.map(claim_each, range(16)) for claimed in claims]
    assert sorted(claimed.job_id for claimed in claims) == sorted(job_ids)
    assert {claimed.attempt for claimed in claims} == {1}


@pytest.mark.postgresql
def test_a_claim_repeated_after_an_unanswered_commit_is_the_same_claim(database: Database) -> None:
    claimed = preparing(database)
    before = event_kinds(database, claimed.job_id)
    for worker_id, expected in (("worker-1", claimed), ("worker-2", None)):
        with database.writing() as session:
            assert attempts.claim(session, claimed.job_id, worker_id, LEASE_SECONDS) == expected
    assert event_kinds(database, claimed.job_id) == before


@pytest.mark.postgresql
def test_a_claim_whose_lease_ran_out_is_not_found_again(database: Database) -> None:
    claimed = preparing(database)
    run_out_lease(database, claimed.job_id)
    with database.writing() as session:
        assert attempts.claim(session, claimed.job_id, "worker-1", LEASE_SECONDS) is None


def test_jobs_are_claimed_in_the_order_submitted(database: Database) -> None:
    submitted = [submit(database) for _ in range(3)]
    with database.reading() as session:
        jobs = [queries.get(session, job_id) for job_id in submitted]
        assert [queries.queue_position(session, job) for job in jobs] == [1, 2, 3]
    assert [claim(database).job_id for _ in submitted] == submitted


def test_a_higher_priority_is_claimed_first(database: Database) -> None:
    low, high, normal, also_high = (submit(database, priority=priority) for priority in (-5, 7, 0, 7))
    expected = [high, also_high, normal, low]
    with database.reading() as session:
        positions = [queries.queue_position(session, queries.get(session, job_id)) for job_id in expected]
    assert positions == [1, 2, 3, 4]
    assert [claim(database).job_id for _ in range(4)] == expected


@pytest.mark.parametrize("gives_up", [hand_back, lose_trainer, lose_worker])
def test_a_job_that_its_worker_gave_up_keeps_its_place(
    database: Database, gives_up: Callable[[Database, Claim], object]
) -> None:
    first = running(database)
    second = submit(database)
    gives_up(database, first)
    assert [claim(database).job_id for _ in range(2)] == [first.job_id, second]


def test_a_job_that_a_person_resumed_or_retried_goes_behind_its_equals(database: Database) -> None:
    resumed, retried = paused(database).job_id, failed(database).job_id
    waiting = submit(database)
    resume(database, resumed)
    retry(database, retried)
    assert [claim(database).job_id for _ in range(3)] == [waiting, resumed, retried]


def test_jobs_that_a_worker_excludes_let_others_pass(database: Database) -> None:
    first, second = submit(database), submit(database)
    with database.reading() as session:
        passed = queries.next_queued(session, [first])
    assert passed is not None
    assert passed.id == second


@pytest.mark.postgresql
def test_a_job_of_a_kind_that_only_a_later_version_knows_waits_untouched_for_that_one(database: Database) -> None:
    later, known = submit(database, priority=1), submit(database)
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == later).values(kind="distillation"))
    before = job_of(database, later).model_dump()
    with database.writing() as session:
        assert attempts.claim(session, later, "worker-1", LEASE_SECONDS) is None
        assert rounds.take_unrung(session, ring_again_seconds=60) == 1
        assert [job.id for job in queries.of_later_versions(session)] == [later]
    assert claim(database).job_id == known
    assert claim_next(database, "worker-1") is None
    assert job_of(database, later).model_dump() == before


# --- fencing


@pytest.mark.postgresql
def test_an_attempt_that_lost_its_lease_writes_nothing(database: Database) -> None:
    old = running(database)
    run_out_lease(database, old.job_id)
    assert expire(database) == [old.job_id]
    new = claim(database, "worker-2")
    assert (new.job_id, new.attempt) == (old.job_id, old.attempt + 1)
    before = event_kinds(database, old.job_id)
    writes: list[Callable[[Session], object]] = [
        lambda session: attempts.renew_lease(session, old, LEASE_SECONDS),
        lambda session: attempts.begin_attempt(session, old, None),
        lambda session: recording.record_once(session, old, 1),
        lambda session: recording.record_running(session, old, PREPARED),
        lambda session: recording.record_progress(
            session, old, Progressed(progress=0.9, eta_seconds=None, stage=2, epoch=1)
        ),
        lambda session: recording.record_epoch(session, old, metrics_of(1, 1)),
        lambda session: recording.record_checkpoint(session, old, checkpoint_of(old, 1)),
        lambda session: recording.record_state(session, old, state_of(old, 1, 1, 0, None)),
        lambda session: recording.record_warning(session, old, WARNING),
        lambda session: recording.record_event(session, old, StageStarted(1, 2), stage=1),
        lambda session: attempts.finish(session, old, JobStatus.SUCCEEDED),
        lambda session: attempts.hand_back(session, old, "stopped"),
        lambda session: attempts.lose_trainer(session, old, LOST, PATIENT),
    ]
    for write in writes:
        with pytest.raises(LeaseLost), database.writing() as session:
            write(session)
    assert event_kinds(database, old.job_id) == before
    assert status(database, old.job_id) == JobStatus.PREPARING
    assert artifact_keys(database, old.job_id) == set()


@pytest.mark.postgresql
def test_a_worker_that_wakes_after_its_lease_writes_nothing_even_before_the_rescue(database: Database) -> None:
    claimed = running(database)
    run_out_lease(database, claimed.job_id)
    with pytest.raises(LeaseLost), database.writing() as session:
        attempts.renew_lease(session, claimed, LEASE_SECONDS)


@pytest.mark.parametrize("final", sorted(TERMINAL))
def test_a_final_state_is_final(database: Database, final: JobStatus) -> None:
    claimed = running(database)
    with database.writing() as session:
        attempts.finish(session, claimed, final)
    with pytest.raises(LeaseLost), database.writing() as session:
        attempts.finish(session, claimed, JobStatus.FAILED)
    for force in (False, True):
        assert cancel(database, claimed.job_id, force=force) == final
    assert expire(database) == []
    assert status(database, claimed.job_id) == final


@pytest.mark.parametrize("asked", [cancelling, pausing])
@pytest.mark.parametrize("end", [JobStatus.SUCCEEDED, JobStatus.FAILED])
def test_what_happened_counts_more_than_what_was_asked(
    database: Database, asked: Callable[[Database], Claim], end: JobStatus
) -> None:
    claimed = asked(database)
    with database.writing() as session:
        attempts.finish(session, claimed, end, LOST if end is JobStatus.FAILED else None)
    assert status(database, claimed.job_id) == end


def test_a_succeeded_job_is_whole(database: Database) -> None:
    claimed = running(database)
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.SUCCEEDED, verdict="better")
    job = job_of(database, claimed.job_id)
    assert (job.progress, job.error, job.verdict, job.lease_expires_at) == (1.0, None, "better", None)
    assert job.finished_at is not None
    attempt = attempt_of(database, claimed)
    assert attempt.ended_at is not None
    assert attempt.outcome == JobStatus.SUCCEEDED


# --- losses


@pytest.mark.postgresql
def test_a_living_lease_is_not_rescued(database: Database) -> None:
    claimed = running(database)
    assert expire(database) == []
    assert status(database, claimed.job_id) == JobStatus.RUNNING


@pytest.mark.postgresql
def test_rounds_that_come_at_once_count_one_loss(database: Database) -> None:
    claimed = running(database)
    run_out_lease(database, claimed.job_id)
    with ThreadPoolExecutor(4) as pool:
        rescued = list(pool.map(lambda _: expire(database), range(4)))
    assert sorted(rescued) == [[], [], [], [claimed.job_id]]
    assert job_of(database, claimed.job_id).worker_losses == 1


def test_a_job_that_loses_too_many_workers_is_poison(database: Database) -> None:
    claimed = running(database)
    run_out_lease(database, claimed.job_id)
    assert expire(database) == [claimed.job_id]
    again = claim(database, "worker-2")
    assert lose_trainer(database, again) is JobStatus.QUEUED
    last = claim(database, "worker-3")
    run_out_lease(database, last.job_id)
    assert expire(database) == []
    job = job_of(database, claimed.job_id)
    assert (job.status, job.worker_losses) == (JobStatus.FAILED, 3)
    assert job.error == Poisoned(3, WorkerLost("worker-3").report()).report().model_dump()


def test_a_lost_job_waits_twice_as_long_each_time(database: Database) -> None:
    policy = LossPolicy(max_losses=10, backoff_seconds=20.0)
    claimed = running(database)
    waits = []
    for lose in (lose_trainer, lose_worker, lose_trainer):
        lose(database, claimed, policy)
        seconds = wait_seconds(database, claimed.job_id)
        assert seconds is not None
        waits.append(seconds)
        assert claim_next(database, "worker-1") is None
        with database.writing() as session:
            assert attempts.claim(session, claimed.job_id, "worker-1", LEASE_SECONDS) is None
        let_backoff_pass(database, claimed.job_id)
        claimed = claim(database)
        assert wait_seconds(database, claimed.job_id) is None
    assert waits == pytest.approx([20.0, 40.0, 80.0], abs=3.0)


def test_the_wait_has_an_end() -> None:
    assert LossPolicy(10_000, 2.0).backoff(1) == 2.0
    assert LossPolicy(10_000, 2.0).backoff(10_000) == attempts.LONGEST_BACKOFF_SECONDS
    assert LossPolicy(10_000, 0.0).backoff(10_000) == 0.0


def test_a_waiting_job_lets_its_equals_pass(database: Database) -> None:
    claimed = running(database)
    other = submit(database)
    lose_trainer(database, claimed, LossPolicy(3, 60.0))
    assert claim(database).job_id == other


def test_handing_back_spends_no_try(database: Database) -> None:
    claimed = running(database)
    assert hand_back(database, claimed) is JobStatus.QUEUED
    job = job_of(database, claimed.job_id)
    assert (job.worker_losses, job.worker_id, job.lease_expires_at, job.retry_at) == (0, None, None, None)
    assert claim(database).attempt == 2


def test_a_job_handed_back_for_a_while_is_not_claimed_before(database: Database) -> None:
    claimed = running(database)
    hand_back(database, claimed, retry_in=60.0)
    assert wait_seconds(database, claimed.job_id) == pytest.approx(60.0, abs=3.0)
    assert claim_next(database, "worker-1") is None


def test_getting_further_forgives_losses(database: Database) -> None:
    claimed = running(database)
    for _ in range(5):
        lose_trainer(database, claimed)
        claimed = claim(database)
        points = resume_points(database, claimed.job_id)
        begin(database, claimed, points[0] if points else None)
        save_state(database, claimed, 1, 0, step=claimed.attempt)
        assert job_of(database, claimed.job_id).worker_losses == 0


def test_going_over_old_ground_forgives_nothing(database: Database) -> None:
    claimed = running(database)
    save_state(database, claimed, 1, 0, step=3)
    save_state(database, claimed, 1, 0, step=6)
    lose_trainer(database, claimed)
    claimed = claim(database)
    # The newest state turned out to be damaged.
    begin(database, claimed, resume_points(database, claimed.job_id)[1])
    save_state(database, claimed, 1, 0, step=5)
    assert job_of(database, claimed.job_id).worker_losses == 1
    save_state(database, claimed, 1, 0, step=7)
    assert job_of(database, claimed.job_id).worker_losses == 0


def test_a_state_short_of_the_step_that_kills_forgives_nothing(database: Database) -> None:
    claimed = running(database)
    for step in (5, 6, 7):
        save_state(database, claimed, 1, 0, step=step)
        with database.writing() as session:
            recording.record_progress(
                session, claimed, Progressed(progress=0.1, eta_seconds=None, stage=1, epoch=1, step=9, steps_done=9)
            )
        end = lose_trainer(database, claimed)
        if step < 7:
            claimed = claim(database)
            begin(database, claimed, resume_points(database, claimed.job_id)[0])
    assert end is JobStatus.FAILED


def test_after_a_retry_losses_are_counted_anew(database: Database) -> None:
    claimed = running(database)
    save_state(database, claimed, 1, 1)
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.FAILED, LOST)
    retry(database, claimed.job_id, from_start=True)
    claimed = claim(database)
    begin(database, claimed, None)
    lose_trainer(database, claimed)
    claimed = claim(database)
    begin(database, claimed, None)
    save_state(database, claimed, 1, 0, step=1)
    assert job_of(database, claimed.job_id).worker_losses == 0


@pytest.mark.parametrize("lose", [hand_back, lose_trainer, lose_worker])
def test_a_job_asked_to_stop_is_not_queued_again(database: Database, lose: Callable[[Database, Claim], object]) -> None:
    to_cancel, to_pause = cancelling(database), pausing(database)
    for claimed in (to_cancel, to_pause):
        lose(database, claimed)
    assert status(database, to_cancel.job_id) == JobStatus.CANCELLED
    assert status(database, to_pause.job_id) == JobStatus.PAUSED
    assert job_of(database, to_pause.job_id).lease_expires_at is None
    assert claim_next(database, "worker-2") is None


def test_a_pausing_job_pauses_however_often_it_was_lost(database: Database) -> None:
    claimed = pausing(database)
    assert lose_trainer(database, claimed, LossPolicy(max_losses=1, backoff_seconds=60.0)) is JobStatus.PAUSED
    assert wait_seconds(database, claimed.job_id) is None
    resume(database, claimed.job_id)
    assert job_of(database, claimed.job_id).worker_losses == 0


# --- resuming


def test_an_attempt_cuts_what_came_after_the_state_that_it_goes_on_from(database: Database) -> None:
    first = running(database)
    for stage, epoch in ((1, 1), (1, 2), (2, 1)):
        train_epoch(database, first, stage, epoch)
    best = write_checkpoint(database, first, 1)
    save_state(database, first, 2, 1, checkpoint=best)
    train_epoch(database, first, 2, 2)
    pinned = write_checkpoint(database, first, 2, pinned=True)
    train_epoch(database, first, 2, 3)
    later = write_checkpoint(database, first, 3)
    save_state(database, first, 2, 3, step=4, checkpoint=later)
    lose_trainer(database, first)
    assert job_of(database, first.job_id).progress == pytest.approx(0.54)

    newest, older = resume_points(database, first.job_id)
    second = claim(database)
    begin(database, second, older)
    assert epochs_shown(database, second.job_id) == [(1, 1, 1), (1, 1, 2), (1, 2, 1)]
    job = job_of(database, second.job_id)
    assert job.checkpoint == best
    assert job.progress == pytest.approx(0.3)
    kept = {file.key for each in (best, pinned) for file in each.files}
    assert artifact_keys(database, second.job_id) == kept | {older.state.key}
    assert newest.state.key not in artifact_keys(database, second.job_id)

    train_epoch(database, second, 2, 2)
    assert epochs_shown(database, second.job_id)[-1] == (2, 2, 2)


def test_an_attempt_from_the_start_keeps_pinned_files_only(database: Database) -> None:
    first = running(database)
    train_epoch(database, first, 1, 1)
    save_state(database, first, 1, 1)
    write_checkpoint(database, first, 1)
    pinned = write_checkpoint(database, first, 2, pinned=True)
    hand_back(database, first)
    second = claim(database)
    begin(database, second, None)
    assert epochs_shown(database, second.job_id) == []
    assert artifact_keys(database, second.job_id) == {file.key for file in pinned.files}
    job = job_of(database, second.job_id)
    assert (job.checkpoint, job.progress) == (None, 0.0)


def test_the_first_attempt_has_no_receipt(database: Database) -> None:
    submit(database)
    claimed = claim(database)
    assert begin(database, claimed, None) is None
    assert "resumed" not in event_kinds(database, claimed.job_id)


def test_the_receipt_says_from_where_and_what_was_lost(database: Database) -> None:
    first = running(database)
    save_state(database, first, 1, 1, step=3)
    with database.writing() as session:
        recording.record_progress(
            session, first, Progressed(progress=0.5, eta_seconds=None, stage=1, epoch=2, step=8, steps_done=18)
        )
    saved, heard = 1000.0, 1025.0
    move_attempt(database, first, started_at=saved - 100.0, heard_at=heard, point_saved_at=saved)
    lose_trainer(database, first)
    move_attempt(database, first, ended_at=heard + 30.0)

    second = claim(database)
    receipt = begin(database, second, resume_points(database, first.job_id)[0])
    assert receipt is not None
    assert receipt.seconds_waited == pytest.approx(attempt_of(database, second).started_at - heard, abs=0.01)
    assert receipt == ResumeReceipt(
        from_attempt=1,
        stage=1,
        epoch=1,
        step=3,
        steps_redone=5,
        seconds_lost=25.0,
        seconds_waited=receipt.seconds_waited,
        reason=LOST.message,
    )
    assert attempt_of(database, second).receipt == receipt.model_dump()
    with database.reading() as session:
        told = queries.events_after(session, first.job_id, 0)[-1]
    assert (told.kind, told.attempt, told.data) == ("resumed", 2, receipt.model_dump())


@pytest.mark.postgresql
def test_begin_repeated_after_an_unanswered_commit_tells_once(database: Database) -> None:
    hand_back(database, running(database))
    second = claim(database)
    receipt = begin(database, second, None)
    assert begin(database, second, None) == receipt
    assert event_kinds(database, second.job_id).count("resumed") == 1


def test_the_receipt_of_an_attempt_from_the_start_counts_all_steps(database: Database) -> None:
    first = running(database)
    with database.writing() as session:
        recording.record_progress(
            session, first, Progressed(progress=0.5, eta_seconds=None, stage=1, epoch=1, step=8, steps_done=8)
        )
    move_attempt(database, first, started_at=1000.0, heard_at=1060.0)
    hand_back(database, first)
    receipt = begin(database, claim(database), None)
    assert receipt is not None
    assert (receipt.from_attempt, receipt.stage, receipt.epoch, receipt.step) == (None, None, None, None)
    assert (receipt.steps_redone, receipt.seconds_lost) == (8, 60.0)


def test_what_was_lost_is_told_even_if_the_next_worker_died_before_it_began(database: Database) -> None:
    first = running(database)
    save_state(database, first, 1, 0, step=2)
    with database.writing() as session:
        recording.record_progress(
            session, first, Progressed(progress=0.5, eta_seconds=None, stage=1, epoch=1, step=8, steps_done=8)
        )
    move_attempt(database, first, started_at=900.0, heard_at=1060.0, point_saved_at=1000.0)
    lose_worker(database, first)
    lose_worker(database, claim(database, "worker-2"))
    third = claim(database, "worker-3")
    receipt = begin(database, third, resume_points(database, first.job_id)[0])
    assert receipt is not None
    assert (receipt.steps_redone, receipt.seconds_lost) == (6, 60.0)
    assert receipt.seconds_waited == pytest.approx(attempt_of(database, third).started_at - 1060.0, abs=0.01)
    assert receipt.reason == WorkerLost("worker-2").message


def test_the_wait_after_a_killed_worker_includes_the_rest_of_its_lease(database: Database) -> None:
    first = running(database)
    save_state(database, first, 1, 0, step=2)
    worked_until = attempt_of(database, first).started_at - 46.0
    move_attempt(
        database, first, started_at=worked_until - 60.0, heard_at=worked_until, point_saved_at=worked_until - 5.0
    )
    lose_worker(database, first)
    ended_at = attempt_of(database, first).ended_at
    assert ended_at is not None
    second = claim(database)
    receipt = begin(database, second, resume_points(database, first.job_id)[0])
    assert receipt is not None
    assert receipt.seconds_waited == pytest.approx(attempt_of(database, second).started_at - worked_until, abs=0.01)
    assert receipt.seconds_waited > ended_at - worked_until >= 46.0
    assert receipt.seconds_lost == pytest.approx(5.0)


@pytest.mark.parametrize(
    "message", [Progressed(0.5, None, 1, 1, 8, 8), StillPreparing()], ids=["progress", "preparing"]
)
def test_every_message_of_the_trainer_is_a_sign_of_work(
    database: Database, message: TrainerMessage, tmp_path: Path
) -> None:
    claimed = running(database)
    move_attempt(database, claimed, heard_at=1000.0)
    with database.writing() as session:
        assert recording.record_once(session, claimed, 1)
        record(session, claimed, message, Artifacts(tmp_path))
    heard_at = attempt_of(database, claimed).heard_at
    assert heard_at is not None
    assert heard_at >= attempt_of(database, claimed).started_at


def move_attempt(database: Database, claimed: Claim, *, point_saved_at: float | None = None, **times: float) -> None:
    """Give the attempt, and the states that it saved, another time."""
    with database.writing() as session:
        attempt = session.get_one(Attempt, (claimed.job_id, claimed.attempt))
        for name, seconds in times.items():
            setattr(attempt, name, seconds)
        if point_saved_at is not None:
            for artifact in session.exec(select(Artifact).where(Artifact.kind == "state")):
                assert artifact.resume_point is not None
                artifact.resume_point = artifact.resume_point.model_copy(update={"saved_at": point_saved_at})


def test_a_repeated_message_is_dropped(database: Database) -> None:
    claimed = running(database)
    for number, expected in ((1, True), (1, False), (2, True), (1, False), (5, True), (4, False)):
        with database.writing() as session:
            assert recording.record_once(session, claimed, number) is expected
    hand_back(database, claimed)
    with database.writing() as session:
        assert recording.record_once(session, claim(database), 1)


@pytest.mark.postgresql
def test_a_message_whose_transaction_failed_is_recorded_when_it_is_repeated(database: Database) -> None:
    claimed = running(database)
    with pytest.raises(ZeroDivisionError), database.writing() as session:
        assert recording.record_once(session, claimed, 1)
        raise ZeroDivisionError
    with database.writing() as session:
        assert recording.record_once(session, claimed, 1)


def test_two_states_are_kept_and_the_older_are_named(database: Database) -> None:
    claimed = running(database)
    keys = [state_of(claimed, 1, 0, step, None).file.key for step in (1, 2, 3, 4)]
    superseded = [save_state(database, claimed, 1, 0, step=step) for step in (1, 2, 3, 4)]
    assert superseded == [[], [], [keys[0]], [keys[1]]]
    assert [point.state.key for point in resume_points(database, claimed.job_id)] == [keys[3], keys[2]]
    assert artifact_keys(database, claimed.job_id) == {keys[2], keys[3]}


def test_a_state_saved_again_under_its_name_supersedes_not_itself(database: Database) -> None:
    claimed = running(database)
    for step in (1, 2):
        save_state(database, claimed, 1, 0, step=step)
    again = state_of(claimed, 1, 0, 1, None).file.key
    assert again not in save_state(database, claimed, 1, 0, step=1)
    assert resume_points(database, claimed.job_id)[0].state.key == again


def test_a_state_says_who_saved_it_and_when(database: Database) -> None:
    claimed = running(database)
    save_state(database, claimed, 1, 1, step=4)
    (point,) = resume_points(database, claimed.job_id)
    with database.reading() as session:
        assert point.saved_at == pytest.approx(fence.clock(session), abs=10.0)
    assert (point.attempt, point.stage, point.epoch, point.step, point.steps_done) == (1, 1, 1, 4, 14)
    assert attempt_of(database, claimed).steps_done == 14


def test_an_epoch_told_again_after_going_back_shows_once(database: Database) -> None:
    claimed = running(database)
    for _ in range(2):
        train_epoch(database, claimed, 1, 1)
    assert epochs_shown(database, claimed.job_id) == [(1, 1, 1)]


def test_a_checkpoint_written_again_stays_pinned(database: Database) -> None:
    claimed = running(database)
    write_checkpoint(database, claimed, 1, pinned=True)
    write_checkpoint(database, claimed, 1)
    with database.reading() as session:
        assert [artifact.pinned for artifact in queries.artifacts(session, claimed.job_id)] == [True, True]


# --- what persons ask for


@pytest.mark.parametrize("state", JobStatus)
def test_cancel_from_every_state(database: Database, state: JobStatus) -> None:
    job_id = job_that_is(database, state)
    expected = state if state.terminal else JobStatus.CANCELLING if state in CLAIMED else JobStatus.CANCELLED
    for _ in range(2):
        assert cancel(database, job_id) == expected
    changes = event_kinds(database, job_id).count("status")
    cancel(database, job_id)
    assert event_kinds(database, job_id).count("status") == changes


@pytest.mark.parametrize("state", JobStatus)
def test_forced_cancel_ends_every_state_at_once(database: Database, state: JobStatus) -> None:
    job_id = job_that_is(database, state)
    expected = state if state.terminal else JobStatus.CANCELLED
    for _ in range(2):
        assert cancel(database, job_id, force=True) == expected
    job = job_of(database, job_id)
    assert job.finished_at is not None
    assert job.lease_expires_at is None


@pytest.mark.postgresql
def test_a_forced_cancel_fences_the_worker_off(database: Database) -> None:
    claimed = running(database)
    cancel(database, claimed.job_id, force=True)
    for write in (
        partial(attempts.renew_lease, claim=claimed, lease_seconds=LEASE_SECONDS),
        partial(attempts.finish, claim=claimed, status=JobStatus.SUCCEEDED),
        partial(attempts.hand_back, claim=claimed, reason="stopped"),
    ):
        with pytest.raises(LeaseLost), database.writing() as session:
            write(session)
    assert status(database, claimed.job_id) == JobStatus.CANCELLED
    assert attempt_of(database, claimed).outcome == JobStatus.CANCELLED


def test_a_cancel_does_not_rewrite_how_an_earlier_attempt_ended(database: Database) -> None:
    claimed = running(database)
    hand_back(database, claimed)
    cancel(database, claimed.job_id)
    attempt = attempt_of(database, claimed)
    assert (attempt.outcome, attempt.reason) == (JobStatus.QUEUED, "the worker was stopped")


@pytest.mark.parametrize("state", JobStatus)
def test_pause_from_every_state(database: Database, state: JobStatus) -> None:
    job_id = job_that_is(database, state)
    if state.terminal or state is JobStatus.CANCELLING:
        with pytest.raises(NotPausable):
            pause(database, job_id)
        assert status(database, job_id) == state
        return
    expected = JobStatus.PAUSED if state in (JobStatus.QUEUED, JobStatus.PAUSED) else JobStatus.PAUSING
    for _ in range(2):
        assert pause(database, job_id) == expected
    assert status(database, job_id) == expected
    if expected is JobStatus.PAUSED:
        assert claim_next(database, "worker-2") is None


@pytest.mark.parametrize("state", JobStatus)
def test_resume_from_every_state(database: Database, state: JobStatus) -> None:
    job_id = job_that_is(database, state)
    if state not in (JobStatus.QUEUED, JobStatus.PREPARING, JobStatus.RUNNING, JobStatus.PAUSED):
        with pytest.raises(NotPaused):
            resume(database, job_id)
        assert status(database, job_id) == state
        return
    expected = JobStatus.QUEUED if state is JobStatus.PAUSED else state
    for _ in range(2):
        assert resume(database, job_id) == expected


@pytest.mark.parametrize("from_start", [False, True])
@pytest.mark.parametrize("state", JobStatus)
def test_retry_from_every_state(database: Database, state: JobStatus, from_start: bool) -> None:
    job_id = job_that_is(database, state)
    if state not in RETRYABLE:
        with pytest.raises(NotRetryable):
            retry(database, job_id, from_start=from_start)
        assert status(database, job_id) == state
        return
    assert retry(database, job_id, from_start=from_start) == JobStatus.QUEUED
    job = job_of(database, job_id)
    assert (job.error, job.finished_at, job.worker_losses, job.worker_id, job.stage) == (None, None, 0, None, None)
    assert claim(database).attempt == 2


@pytest.mark.parametrize("ask", [cancel, pause, resume, retry])
def test_an_unknown_job_is_named(database: Database, ask: Callable[[Database, str], str]) -> None:
    with pytest.raises(JobNotFound, match="nobody"):
        ask(database, "nobody")
    with pytest.raises(JobNotFound, match="nobody"), database.reading() as session:
        queries.get(session, "nobody")


def test_a_retry_goes_on_from_the_last_state_or_from_the_start(database: Database) -> None:
    claimed = running(database)
    train_epoch(database, claimed, 1, 1)
    checkpoint = write_checkpoint(database, claimed, 1)
    save_state(database, claimed, 1, 1, checkpoint=checkpoint)
    with database.writing() as session:
        recording.record_progress(
            session, claimed, Progressed(progress=0.7, eta_seconds=1.0, stage=1, epoch=2, steps_done=19)
        )
        attempts.finish(session, claimed, JobStatus.FAILED, LOST)
    retry(database, claimed.job_id)
    job = job_of(database, claimed.job_id)
    assert job.checkpoint == checkpoint
    assert job.progress == pytest.approx(0.1)
    assert len(resume_points(database, claimed.job_id)) == 1
    assert epochs_shown(database, claimed.job_id) == [(1, 1, 1)]

    cancel(database, claimed.job_id)
    retry(database, claimed.job_id, from_start=True)
    job = job_of(database, claimed.job_id)
    assert (job.checkpoint, job.progress, job.facts) == (None, 0.0, None)
    assert resume_points(database, claimed.job_id) == []
    assert epochs_shown(database, claimed.job_id) == []


@pytest.mark.postgresql
def test_a_worker_of_before_a_retry_writes_nothing(database: Database) -> None:
    old = cancelled(database)
    retry(database, old.job_id)
    new = claim(database, old.worker_id)
    with pytest.raises(LeaseLost), database.writing() as session:
        attempts.finish(session, old, JobStatus.SUCCEEDED)
    assert new.attempt == old.attempt + 1


def test_a_job_asked_to_pause_while_it_is_prepared_does_not_turn_to_running(database: Database) -> None:
    claimed = preparing(database)
    pause(database, claimed.job_id)
    with database.writing() as session:
        recording.record_running(session, claimed, PREPARED)
        assert attempts.renew_lease(session, claimed, LEASE_SECONDS) is JobStatus.PAUSING
    assert cancel(database, claimed.job_id) == JobStatus.CANCELLING


def test_the_store_makes_the_transitions_of_the_table_and_no_other(database: Database) -> None:
    """Everything is done to a job of every state; what it turned into is what the table says."""
    strict = LossPolicy(max_losses=1)

    def holder(job_id: str) -> Claim:
        job = job_of(database, job_id)
        return Claim(job_id, job.attempt, job.worker_id or "nobody")

    def write(transaction: Callable[[Session], object]) -> None:
        with database.writing() as session:
            transaction(session)

    deeds: list[Callable[[str], object]] = [
        lambda job_id: write(lambda session: attempts.claim(session, job_id, "worker-9", LEASE_SECONDS)),
        lambda job_id: write(lambda session: recording.record_running(session, holder(job_id), PREPARED)),
        lambda job_id: write(lambda session: attempts.finish(session, holder(job_id), JobStatus.SUCCEEDED)),
        lambda job_id: write(lambda session: attempts.finish(session, holder(job_id), JobStatus.FAILED, LOST)),
        lambda job_id: hand_back(database, holder(job_id)),
        lambda job_id: lose_trainer(database, holder(job_id)),
        lambda job_id: lose_trainer(database, holder(job_id), strict),
        lambda job_id: lose_worker(database, holder(job_id)),
        lambda job_id: lose_worker(database, holder(job_id), strict),
        lambda job_id: cancel(database, job_id),
        lambda job_id: cancel(database, job_id, force=True),
        lambda job_id: pause(database, job_id),
        lambda job_id: resume(database, job_id),
        lambda job_id: retry(database, job_id),
        lambda job_id: retry(database, job_id, from_start=True),
    ]
    made: dict[JobStatus, set[JobStatus]] = {state: set() for state in JobStatus}
    for state in JobStatus:
        for deed in deeds:
            job_id = job_that_is(database, state)
            with contextlib.suppress(LeaseLost, NotPausable, NotPaused, NotRetryable):
                deed(job_id)
            made[state].add(JobStatus(status(database, job_id)))
            cancel(database, job_id, force=True)
    assert {state: frozenset(after - {state}) for state, after in made.items()} == NEXT


# --- events, warnings, bells


@pytest.mark.postgresql
def test_events_are_numbered_without_gaps_whoever_writes_them(database: Database) -> None:
    job_id = submit(database)

    def write(number: int) -> None:
        with database.writing() as session:
            fence.append_event(session, job_id, WaitingNoted(reason=str(number)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(30)))
    with database.reading() as session:
        assert [event.number for event in queries.events_after(session, job_id, 0)] == list(range(1, 32))
        assert [event.number for event in queries.events_after(session, job_id, 29)] == [30, 31]


@pytest.mark.postgresql
def test_warnings_given_at_once_are_all_kept_and_none_twice(database: Database) -> None:
    claimed = running(database)

    def warn(number: int) -> None:
        warning = JobWarning(code="test", message=f"warning {number % 6}")
        with database.writing() as session:
            if number % 2:
                fence.add_warning(session, claimed.job_id, warning)
            else:
                recording.record_warning(session, claimed, warning)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(warn, range(24)))
    told = [warning["message"] for warning in job_of(database, claimed.job_id).warnings]
    assert sorted(told) == [f"warning {number}" for number in range(6)]
    assert event_kinds(database, claimed.job_id).count("warning") == 6


def test_pages_go_back_in_time_by_status(database: Database) -> None:
    submitted = [submit(database) for _ in range(4)]
    claim(database)
    with database.reading() as session:
        first = find_jobs(session, JobFilter(statuses=[JobStatus.QUEUED]), limit=2)
        second = find_jobs(session, JobFilter(statuses=[JobStatus.QUEUED]), cursor=first.next_cursor, limit=2)
    assert [job.id for job in [*first.jobs, *second.jobs]] == submitted[:0:-1]


def test_a_waiting_job_is_rung_for_again_only_after_a_while(database: Database) -> None:
    for _ in range(3):
        submit(database)
    with database.writing() as session:
        assert rounds.take_unrung(session, ring_again_seconds=60) == 3
        assert rounds.take_unrung(session, ring_again_seconds=60) == 0
        assert rounds.take_unrung(session, ring_again_seconds=-1) == 3


def test_only_jobs_that_may_be_claimed_are_rung_for(database: Database) -> None:
    lost, handed_back = running(database), running(database)
    preparing(database), paused(database), failed(database)
    lose_trainer(database, lost, LossPolicy(3, 60.0))
    hand_back(database, handed_back)
    with database.writing() as session:
        assert rounds.take_unrung(session, ring_again_seconds=60) == 1
    let_backoff_pass(database, lost.job_id)
    with database.writing() as session:
        assert rounds.take_unrung(session, ring_again_seconds=60) == 1


def test_a_job_queued_again_is_rung_for_at_once(database: Database) -> None:
    job_id = submit(database)
    with database.writing() as session:
        assert rounds.take_unrung(session, ring_again_seconds=60) == 1
    pause(database, job_id)
    resume(database, job_id)
    with database.writing() as session:
        assert rounds.take_unrung(session, ring_again_seconds=60) == 1


def test_why_a_job_waits_is_told_once_until_it_is_claimed(database: Database) -> None:
    job_id = submit(database)
    for reason in ("no space", "no space", "no space at all"):
        with database.writing() as session:
            rounds.note_waiting(session, job_id, reason)
    assert event_kinds(database, job_id) == ["status", "waiting", "waiting"]
    assert job_of(database, job_id).waiting_reason == "no space at all"
    claimed = claim(database)
    with database.writing() as session:
        rounds.note_waiting(session, job_id, "too late")
    assert job_of(database, job_id).waiting_reason is None
    hand_back(database, claimed)
    with database.writing() as session:
        rounds.note_waiting(session, job_id, "no space")
    pause(database, job_id)
    assert job_of(database, job_id).waiting_reason is None


# --- idempotency keys


def test_the_same_key_and_request_find_the_same_job(database: Database) -> None:
    job_id = submit(database, priority=2, idempotency_key="key")
    with database.writing() as session:
        found = submission.find_repeated(session, "key", CONFIG, priority=2)
        assert found is not None
        assert found.id == job_id
        assert submission.find_repeated(session, "another", CONFIG, priority=2) is None


@pytest.mark.parametrize(("seed", "priority"), [(42, 1), (43, 2)])
def test_the_same_key_with_another_request_is_refused(database: Database, seed: int, priority: int) -> None:
    submit(database, priority=2, idempotency_key="key")
    config = FinetuneConfig.model_validate({"dataset": "faces", "seed": seed})
    with pytest.raises(IdempotencyKeyReused, match="'key'"), database.reading() as session:
        submission.find_repeated(session, "key", config, priority=priority)


@pytest.mark.postgresql
def test_of_two_requests_with_one_key_at_once_one_makes_a_job(database: Database) -> None:
    def submit_or_find(_: int) -> str:
        try:
            return submit(database, idempotency_key="key")
        except IntegrityError:
            with database.reading() as session:
                found = submission.find_repeated(session, "key", CONFIG)
            assert found is not None
            return found.id

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(submit_or_find, range(8)))) == 1
    with database.reading() as session:
        assert len(session.exec(select(Job)).all()) == 1


def test_jobs_without_a_key_do_not_collide(database: Database) -> None:
    assert submit(database) != submit(database)


@pytest.mark.postgresql
def test_the_lease_is_measured_by_the_clock_of_the_database(database: Database) -> None:
    claimed = running(database)
    with database.writing() as session:
        attempts.renew_lease(session, claimed, 100.0)
        left = session.execute(
            select(col(Job.lease_expires_at) - database_now()).where(col(Job.id) == claimed.job_id)
        ).scalar_one()
    assert left == pytest.approx(100.0, abs=3.0)
    with database.writing() as session:
        session.execute(update(Job).values(lease_expires_at=database_now() + 100.0))
    assert expire(database) == []


@pytest.mark.postgresql
def test_a_retry_after_a_forced_cancel_waits_for_the_old_lease(database: Database) -> None:
    """The trainer of a frozen worker lives as long as its lease."""
    claimed = running(database)
    with database.writing() as session:
        wishes.request_cancel(session, claimed.job_id, force=True)
    with database.writing() as session:
        wishes.retry(session, claimed.job_id)
    assert claim_next(database, "worker-2") is None
    let_backoff_pass(database, claimed.job_id)
    assert claim(database, "worker-2").attempt == 2


def test_a_retry_without_the_states_that_led_to_a_checkpoint_is_refused(database: Database) -> None:
    claimed = running(database)
    with database.writing() as session:
        recording.record_checkpoint(session, claimed, checkpoint_of(claimed, 1))
        attempts.finish(session, claimed, JobStatus.FAILED)
    with pytest.raises(StatesGone, match="no saved state left"), database.writing() as session:
        wishes.retry(session, claimed.job_id)
    with database.writing() as session:
        assert wishes.retry(session, claimed.job_id, from_start=True).checkpoint is None


def test_the_newest_state_is_the_one_written_last_whatever_the_clock_did(database: Database) -> None:
    claimed = running(database)
    for steps in (3, 6):
        with database.writing() as session:
            recording.record_state(session, claimed, state_of(claimed, 1, 0, steps, None))
            session.execute(update(Artifact).values(created_at=Artifact.created_at - 3600 * steps))
    with database.reading() as session:
        assert [point.steps_done for point in queries.resume_points(session, claimed.job_id)] == [6, 3]
