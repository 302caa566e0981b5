"""The phase of a job in its row, its events, its answer and its watch."""

import pytest

from app.api_models.job import JobView
from app.cli.live import status_lines
from app.database import Database
from app.finetune.events import PhaseStarted, Progressed
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.transitions import attempts, recording
from app.jobs.transitions.fence import Claim
from app.jobs.views import view_event, view_job
from tests.integration.conftest import begin, claim, submit


def view(database: Database, claimed: Claim) -> JobView:
    with database.reading() as session:
        return view_job(session, queries.get(session, claimed.job_id), worker_seen_seconds=15.0)


@pytest.fixture
def claimed(database: Database) -> Claim:
    submit(database)
    claimed = claim(database)
    begin(database, claimed, None)
    return claimed


def progress(phase_progress: float) -> Progressed:
    return Progressed(0.1, 99.0, None, None, phase="measuring", phase_progress=phase_progress)


def test_the_row_has_the_phase_from_the_claim_to_the_end(database: Database, claimed: Claim) -> None:
    assert (view(database, claimed).phase, view(database, claimed).phase_progress) == ("starting", 0.0)
    with database.writing() as session:
        recording.record_progress(session, claimed, progress(0.25))
        recording.record_phase(session, claimed, PhaseStarted("comparing"))
    job = view(database, claimed)
    assert (job.phase, job.phase_progress, job.eta_seconds) == ("comparing", 0.0, 99.0)
    assert status_lines(job)[0] == f"{job.id}  preparing  10%  comparing  1 minute and 39 seconds left"
    with database.reading() as session:
        events = [view_event(event) for event in queries.events_after(session, claimed.job_id, 0)]
    assert [event.data.phase for event in events if event.kind == "phase"] == ["comparing"]
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.SUCCEEDED)
    job = view(database, claimed)
    assert (job.phase, job.phase_progress, job.eta_seconds) == (None, None, None)


def test_a_job_that_waits_again_has_no_phase(database: Database, claimed: Claim) -> None:
    with database.writing() as session:
        recording.record_progress(session, claimed, progress(0.5))
        attempts.hand_back(session, claimed, "the worker was stopped")
    assert (view(database, claimed).phase, view(database, claimed).phase_progress) == (None, None)


def test_progress_of_a_trainer_without_phases_leaves_the_phase(database: Database, claimed: Claim) -> None:
    with database.writing() as session:
        recording.record_progress(session, claimed, Progressed(0.2, None, 1, 1))
    assert view(database, claimed).phase == "starting"
