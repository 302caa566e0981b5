"""The page of models."""

import re

import pytest
from sqlmodel import col, update

from app.access.scopes import Scope
from app.database import Database
from app.jobs.states import JobStatus
from app.jobs.tables import Job, UploadedInput
from app.jobs.transitions import attempts
from app.settings import Settings
from tests.integration.conftest import running, write_checkpoint
from tests.integration.pages.conftest import Visit
from tests.integration.pages.test_jobs_page import INLINE
from tests.support.access import bearer, key_of


def _succeeded(database: Database, name: str, **config: str) -> str:
    """A job that made weights."""
    claimed = running(database)
    write_checkpoint(database, claimed, 3)
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.SUCCEEDED, verdict="better")
        job = session.get_one(Job, claimed.job_id)
        job.name, job.config = name, {**job.config, **config}
    return claimed.job_id


@pytest.fixture(autouse=True)
def given(settings: Settings) -> None:
    settings.weights_dir.mkdir(parents=True, exist_ok=True)
    (settings.weights_dir / "edgeface_xxs.pt").write_bytes(b"")


def test_a_result_has_its_origin_and_can_be_the_start_of_a_job(visit: Visit, database: Database) -> None:
    first = _succeeded(database, "first")
    second = _succeeded(database, "second", edgeface=f"job:{first}")
    page = visit("/ui/models").text
    assert not INLINE.findall(page)
    rows = [row for row in page.split('<tr role="row">') if "job-name" in row]
    assert [re.findall(r'class="job-name"[^>]*>([^<]*)', row)[0] for row in rows] == [
        "second",
        "first",
        "edgeface_xxs.pt",
    ]
    assert (
        '<td role="cell" class="quiet for-wide">first</td><td role="cell" class="quiet for-wide">faces</td>' in rows[0]
    )
    assert '<td role="cell" class="quiet for-wide">edgeface_xxs.pt</td>' in rows[1]
    assert f'href="/ui/new?edgeface=job%3A{second}"' in rows[0]
    assert f'href="/jobs/{second}/checkpoint"' in rows[0]
    assert "checkpoint" not in rows[2]
    form = visit(f"/ui/new?edgeface=job:{second}").text
    assert f'<option value="job:{second}" selected>second (job {second[-6:]})</option>' in form


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_job_that_did_not_succeed_made_no_model(visit: Visit, database: Database, status: JobStatus) -> None:
    job_id = _succeeded(database, "gone")
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(status=status))
    page = visit("/ui/models").text
    assert "gone" not in page
    assert "No job has made a model yet." in page


def test_a_reader_sees_what_is_shared_and_nothing_to_change(visit: Visit, database: Database) -> None:
    private, shared = _succeeded(database, "private"), _succeeded(database, "shared-one")
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == private).values(shared=False))
        session.execute(update(Job).where(col(Job.id) == shared).values(shared=True))
        session.add(
            UploadedInput(
                kind="weights", name="ours.pt", owner="maria", size=5, sha256="0" * 64, created_at=1.0, network="xxs"
            )
        )
    reader = visit("/ui/models", **bearer(key_of(database, "reader", Scope.READ))).text
    assert "shared-one" in reader
    for hidden in ("private", "ours.pt", "Start</a>", 'id="weights"'):
        assert hidden not in reader
    maria = visit("/ui/models", **bearer(key_of(database, "maria", Scope.SUBMIT, Scope.DATA))).text
    assert 'data-deletes="ours.pt"' in maria
    assert 'id="weights"' in maria
