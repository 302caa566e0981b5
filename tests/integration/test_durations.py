"""What a job was said to take beside what it took; measurements among the jobs."""

import pytest
from sqlmodel import col, update

from app.api_models.job import JobView
from app.database import Database
from app.finetune.events import DurationPredicted
from app.finetune.job_kinds import DRY_RUN, FINETUNING
from app.finetune.ranges import Estimate
from app.jobs import queries
from app.jobs.errors import IdempotencyKeyReused
from app.jobs.search import JobFilter, find_jobs
from app.jobs.states import JobStatus
from app.jobs.tables import Attempt
from app.jobs.transitions import attempts, fence, recording, submission, wishes
from app.jobs.transitions.fence import Claim
from app.jobs.views import view_job
from tests.integration.conftest import (
    CONFIG,
    begin,
    claim,
    event_kinds,
    resume_points,
    run_out_lease,
    running,
    save_state,
    train_epoch,
)


def view(database: Database, job_id: str) -> JobView:
    with database.reading() as session:
        return view_job(session, queries.get(session, job_id), worker_seen_seconds=15.0)


def heard_after(database: Database, claimed: Claim, seconds: float) -> None:
    """As if the attempt had begun so long before its trainer was last heard of, which is now."""
    with database.writing() as session:
        now = fence.clock(session)
        session.execute(
            update(Attempt)
            .where(col(Attempt.job_id) == claimed.job_id, col(Attempt.number) == claimed.attempt)
            .values(started_at=now - seconds, heard_at=now)
        )


def predict_duration(database: Database, claimed: Claim, left: float = 100.0) -> None:
    with database.writing() as session:
        recording.record_prediction(
            session,
            claimed,
            DurationPredicted(
                seconds_spent=5.0,
                seconds_left=Estimate(0.9 * left, left, 1.2 * left),
                stage1_epochs=2,
                stage2_epochs=10,
                stage2_epoch_seconds=9.0,
            ),
        )


def finish(database: Database, claimed: Claim, status: JobStatus = JobStatus.SUCCEEDED) -> None:
    with database.writing() as session:
        attempts.finish(session, claimed, status)


def again(database: Database, claimed: Claim) -> Claim:
    """The next attempt, from the newest state."""
    with database.writing() as session:
        queries.locked(session, claimed.job_id).retry_at = None
    claimed = claim(database, "worker-2")
    begin(database, claimed, next(iter(resume_points(database, claimed.job_id)), None))
    return claimed


def test_a_prediction_counts_what_was_worked_and_is_kept(database: Database) -> None:
    claimed = running(database)
    assert view(database, claimed.job_id).predicted is None
    heard_after(database, claimed, 20.0)
    predict_duration(database, claimed)
    predict_duration(database, claimed, left=500.0)
    predicted = view(database, claimed.job_id).predicted
    assert predicted is not None
    assert predicted.predicted_after == pytest.approx(20.0, abs=1.0)
    assert (predicted.low, predicted.likely, predicted.high) == pytest.approx(
        tuple(predicted.predicted_after + seconds for seconds in (90.0, 100.0, 120.0)), abs=0.01
    )
    assert (predicted.stage1_epochs, predicted.stage2_epochs) == (2, 10)
    assert predicted.for_epochs_trained is None, "it runs"
    assert event_kinds(database, claimed.job_id).count("predicted") == 1
    with database.reading() as session:
        (told,) = [e.data for e in queries.events_after(session, claimed.job_id, 0) if e.kind == "predicted"]
    assert told == predicted.model_dump(exclude={"for_epochs_trained"})


def test_a_succeeded_job_shows_both_and_by_how_much_it_was_off(database: Database) -> None:
    claimed = running(database)
    heard_after(database, claimed, 20.0)
    predict_duration(database, claimed)
    for epoch in range(1, 11):
        train_epoch(database, claimed, 2, epoch)
    heard_after(database, claimed, 150.0)
    finish(database, claimed)
    job = view(database, claimed.job_id)
    assert job.predicted is not None
    assert job.actual is not None
    assert job.predicted.for_epochs_trained == pytest.approx(job.predicted.likely)
    assert job.actual.seconds == pytest.approx(150.0, abs=1.0)
    assert job.actual.off_by == pytest.approx(job.actual.seconds / job.predicted.likely - 1, abs=0.001)
    with database.reading() as session:
        last = queries.events_after(session, claimed.job_id, 0)[-1].data
    assert last["status"] == "succeeded"
    assert last["predicted"] == job.predicted.model_dump()
    assert last["actual"] == job.actual.model_dump()


def test_a_job_that_stopped_early_is_compared_by_the_epochs_it_trained(database: Database) -> None:
    claimed = running(database)
    predict_duration(database, claimed)
    for epoch in range(1, 5):
        train_epoch(database, claimed, 2, epoch)
    heard_after(database, claimed, 51.0)
    finish(database, claimed)
    job = view(database, claimed.job_id)
    assert job.predicted is not None
    assert job.actual is not None
    assert job.predicted.for_epochs_trained == pytest.approx(job.predicted.likely - 6 * 9.0)
    assert job.actual.off_by == pytest.approx(0.0, abs=0.05)


def test_waiting_does_not_count_as_work(database: Database) -> None:
    claimed = running(database)
    heard_after(database, claimed, 30.0)
    save_state(database, claimed, 2, 1)
    with database.writing() as session:
        wishes.request_pause(session, claimed.job_id)
        attempts.hand_back(session, claimed, "paused by a person")
    paused = view(database, claimed.job_id).actual
    assert paused is not None
    assert paused.seconds == pytest.approx(30.0, abs=1.0)
    with database.writing() as session:  # a night goes by
        session.execute(
            update(Attempt).values(started_at=col(Attempt.started_at) - 3e4, ended_at=col(Attempt.ended_at) - 3e4)
        )
        wishes.resume(session, claimed.job_id)
    claimed = again(database, claimed)
    heard_after(database, claimed, 12.0)
    running_now = view(database, claimed.job_id).actual
    assert running_now is not None
    assert running_now.seconds == pytest.approx(42.0, abs=1.0)
    assert running_now.off_by is None
    predict_duration(database, claimed)
    predicted = view(database, claimed.job_id).predicted
    assert predicted is not None
    assert predicted.likely == pytest.approx(142.0, abs=1.0)


def test_the_silence_of_a_lost_worker_does_not_count_as_work(database: Database) -> None:
    claimed = running(database)
    heard_after(database, claimed, 30.0)
    with database.writing() as session:  # it has been silent for a while
        silent = {name: col(getattr(Attempt, name)) - 500 for name in ("started_at", "heard_at")}
        session.execute(update(Attempt).values(silent))
    run_out_lease(database, claimed.job_id)
    with database.writing() as session:
        attempts.expire_leases(session, attempts.LossPolicy(3))
    lost = view(database, claimed.job_id).actual
    assert lost is not None
    assert lost.seconds == pytest.approx(30.0, abs=1.0)


@pytest.mark.parametrize("from_start", [True, False])
def test_a_retry_from_the_start_is_predicted_and_counted_anew(database: Database, from_start: bool) -> None:
    claimed = running(database)
    heard_after(database, claimed, 30.0)
    predict_duration(database, claimed)
    finish(database, claimed, JobStatus.CANCELLED)
    with database.writing() as session:
        wishes.retry(session, claimed.job_id, from_start=from_start)
    job = view(database, claimed.job_id)
    assert (job.predicted is None) == from_start
    assert job.actual is not None
    assert job.actual.seconds == pytest.approx(0.0 if from_start else 30.0, abs=1.0)


MEASURED = {
    "seconds": {"low": 90.0, "likely": 100.0, "high": 120.0},
    "seconds_by_part": {"start": 1, "prepare": 9, "before": 5, "stage1": 20, "stage2": 60, "after": 5},
    "stage1_epochs": 5,
    "stage2_epochs": 20,
    "stage2_epoch_seconds": 3.0,
    "can_stop_early": True,
    "device": "cpu",
    "images_enlarged": 192,
    "process_bytes": 900_000_000,
    "device_bytes": None,
    "prepared_bytes": 18_816_000,
    "state_bytes": 45_899_295,
    "checkpoint_bytes": 10_115_260,
}


def submit_measurement(database: Database, key: str | None = None) -> str:
    with database.writing() as session:
        return submission.submit(session, CONFIG, [], kind=DRY_RUN, idempotency_key=key).id


def test_a_measurement_is_claimed_like_a_job_and_listed_apart(database: Database) -> None:
    job_id = submit_measurement(database)
    claimed = claim(database)
    assert claimed.job_id == job_id
    begin(database, claimed, None)
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.SUCCEEDED, measured=MEASURED)
    job = view(database, job_id)
    assert job.estimate is not None
    assert job.estimate.model_dump() == MEASURED
    assert (job.kind, job.status, job.predicted, job.actual) == ("dry_run", JobStatus.SUCCEEDED, None, None)
    with database.reading() as session:
        assert find_jobs(session, JobFilter(kinds=[FINETUNING]), limit=10).jobs == []
        (listed,) = find_jobs(session, JobFilter(kinds=[DRY_RUN]), limit=10).jobs
    assert listed.id == job_id


def test_a_key_is_of_one_kind(database: Database) -> None:
    job_id = submit_measurement(database, "monday")
    with database.reading() as session:
        found = submission.find_repeated(session, "monday", CONFIG, kind=DRY_RUN)
        assert found is not None
        assert found.id == job_id
        with pytest.raises(IdempotencyKeyReused):
            submission.find_repeated(session, "monday", CONFIG)
