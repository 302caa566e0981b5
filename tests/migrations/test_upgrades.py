"""Every released version's rows come through the newest migrations, readable and right."""

from collections import defaultdict
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlmodel import SQLModel

from app.database import Database, alembic_config
from app.finetune.event_data import as_json
from app.jobs import queries
from app.jobs.search import find_jobs
from app.jobs.states import CLAIMED, TERMINAL, JobStatus
from app.jobs.tables import Artifact
from app.jobs.transitions import attempts, wishes
from app.jobs.transitions.attempts import LossPolicy
from app.jobs.views import view_event, view_job
from tests.integration.conftest import LEASE_SECONDS, run_out_lease
from tests.migrations.rows import FOLDER, Rows, insert_rows, read_rows


def revisions() -> list[str]:
    """Oldest first."""
    with create_engine("sqlite://").connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
        return [script.revision for script in scripts.walk_revisions()][::-1]


RELEASED = revisions()[:-1]


@pytest.fixture(params=RELEASED)
def rows(request: pytest.FixtureRequest) -> Rows:
    return read_rows(request.param)


@pytest.fixture
def upgraded(request: pytest.FixtureRequest, database_url: str, rows: Rows) -> Iterator[Database]:
    """A database that a released version filled, brought to the newest version as a start of the service does it."""
    revision: str = request.node.callspec.params["rows"]
    database = Database(database_url)
    with database.engine.execution_options(edgeface_writing=True).begin() as connection:
        command.upgrade(alembic_config(connection), revision)
        insert_rows(connection, rows)
    database.migrate()
    yield database
    database.close()


def test_every_revision_but_the_newest_has_a_file_of_its_rows() -> None:
    missing = set(RELEASED) - {path.stem for path in FOLDER.glob("*.json")}
    assert not missing, f"no rows/{min(missing)}.json: its head says how to write it"


def test_the_rows_of_a_version_show_jobs_in_all_its_states(rows: Rows) -> None:
    assert {job["status"] for job in rows["job"]} >= TERMINAL | CLAIMED - {JobStatus.PAUSING} | {JobStatus.QUEUED}


def test_an_upgraded_database_has_the_tables_that_the_code_uses(upgraded: Database) -> None:
    with upgraded.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_no_row_is_left_without_the_row_it_refers_to(upgraded: Database) -> None:
    if upgraded.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL checks it itself")
    with upgraded.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1


def test_every_job_is_readable_and_says_what_it_said(upgraded: Database, rows: Rows) -> None:
    with upgraded.reading() as session:
        assert {job.id for job in find_jobs(session, limit=1000).jobs} == {row["id"] for row in rows["job"]}
        for row in rows["job"]:
            job = queries.get(session, row["id"])
            view = view_job(session, job, worker_seen_seconds=15.0)
            assert {name: getattr(job, name) for name in row} == row | {"checkpoint": job.checkpoint}
            assert (job.checkpoint and as_json(job.checkpoint)) == row["checkpoint"]
            assert view.status == row["status"]
            assert view.config.model_dump(mode="json").items() >= row["config"].items()
            assert (view.checkpoint is None) == (row["checkpoint"] is None)
            events = [view_event(event) for event in queries.events_after(session, job.id, 0)]
            assert [event.number for event in events] == list(range(1, row["event_count"] + 1))
            numbers = [attempt.number for attempt in queries.attempts(session, job.id)]
            assert numbers == list(range(1, row["attempt"] + 1))


def test_each_epoch_shows_once_and_is_the_newest_attempts(upgraded: Database, rows: Rows) -> None:
    newest: dict[str, list[tuple[int, int, float]]] = defaultdict(list)
    attempts = {row["id"]: row["attempt"] for row in rows["job"]}
    for row in rows["epochmetric"]:
        # From revision 0002 on the rows themselves hold each epoch once.
        if row["attempt"] == attempts[row["job_id"]] or "val_d_prime" in row:
            newest[row["job_id"]].append((row["stage"], row["epoch"], row["train_loss"]))
    assert len(rows["epochmetric"]) > sum(map(len, newest.values())) or "val_d_prime" in rows["epochmetric"][0]
    with upgraded.reading() as session:
        for job_id in attempts:
            metrics = queries.metrics(session, queries.get(session, job_id))
            shown = [(metric.stage, metric.epoch, metric.train_loss) for metric in metrics]
            assert shown == sorted(newest[job_id])


def test_the_files_of_the_row_are_listed_as_artifacts(upgraded: Database, rows: Rows) -> None:
    with upgraded.reading() as session:
        for row in rows["job"]:
            if row["checkpoint"] is None:
                continue
            listed = {artifact.kind: artifact for artifact in queries.artifacts(session, row["id"])}
            for kind in ("full", "backbone"):
                file, artifact = row["checkpoint"][kind], listed[kind]
                assert (artifact.key, artifact.size, artifact.sha256) == (file["key"], file["size"], file["sha256"])
                assert artifact.key.startswith(f"{row['id']}/attempt-{artifact.attempt}/")
                assert artifact.epoch == row["checkpoint"]["epoch"]
                assert row["created_at"] <= artifact.created_at <= (row["finished_at"] or artifact.created_at)


def test_waiting_jobs_keep_their_order(upgraded: Database, rows: Rows) -> None:
    waiting = [row for row in rows["job"] if row["status"] == JobStatus.QUEUED]
    expected = [row["id"] for row in sorted(waiting, key=lambda row: (-row.get("priority", 0), row["created_at"]))]
    with upgraded.reading() as session:
        jobs = [queries.get(session, job_id) for job_id in expected]
        assert [queries.queue_position(session, job) for job in jobs] == list(range(1, len(expected) + 1))
        assert all(job.queued_at >= job.created_at for job in jobs)


def test_every_job_that_had_not_ended_can_still_be_brought_to_its_end(upgraded: Database, rows: Rows) -> None:
    open_jobs = {row["id"]: row["status"] for row in rows["job"] if row["status"] not in TERMINAL}
    for job_id, status in open_jobs.items():
        if status in CLAIMED:
            run_out_lease(upgraded, job_id)
    with upgraded.writing() as session:
        attempts.expire_leases(session, LossPolicy(max_losses=1000))
        for job_id, status in open_jobs.items():
            if status in (JobStatus.PAUSING, JobStatus.PAUSED):
                wishes.resume(session, job_id)
    while True:
        with upgraded.writing() as session:
            job = queries.next_queued(session)
            if job is None:
                break
            claim = attempts.claim(session, job.id, "worker-1", LEASE_SECONDS)
            assert claim is not None
            points = queries.resume_points(session, job.id)
            receipt = attempts.begin_attempt(session, claim, points[0] if points else None)
            assert (receipt is None) == (claim.attempt == 1)
            assert points or queries.metrics(session, job) == []
            attempts.finish(session, claim, JobStatus.SUCCEEDED)
    with upgraded.reading() as session:
        ends = {job_id: queries.get(session, job_id).status for job_id in open_jobs}
    assert ends == {
        job_id: JobStatus.CANCELLED if status == JobStatus.CANCELLING else JobStatus.SUCCEEDED
        for job_id, status in open_jobs.items()
    }


def test_an_api_that_still_runs_the_version_before_can_submit(upgraded: Database, rows: Rows) -> None:
    if "queued_at" not in rows["job"][0]:
        pytest.skip("the version before the newest")
    waiting = next(row for row in rows["job"] if row["status"] == JobStatus.QUEUED)
    submitted = {**waiting, "id": "ffffffffffff000000000000", "priority": 100, "event_count": 0}
    with upgraded.engine.execution_options(edgeface_writing=True).begin() as connection:
        insert_rows(connection, {"job": [submitted]})
    with upgraded.writing() as session:
        job = queries.next_queued(session)
        assert job is not None
        assert (job.id, job.kind, job.seconds_worked) == (submitted["id"], "finetuning", 0.0)


def test_saved_states_can_be_gone_on_from(upgraded: Database, rows: Rows) -> None:
    with upgraded.reading() as session:
        for row in rows.get("artifact", []):
            artifact = session.get_one(Artifact, row["key"])
            assert (artifact.kind == "state") == (artifact.resume_point is not None)
            if artifact.resume_point is not None:
                assert artifact.resume_point.state.key == artifact.key
                assert artifact.resume_point.model_dump(mode="json", by_alias=True) == row["resume_point"]
