from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlmodel import SQLModel, col, update

import app.jobs.tables
from app.database import Database
from app.jobs.rescue import rescue_jobs
from app.jobs.tables import Job
from app.jobs.transitions.attempts import LossPolicy
from tests.integration.conftest import run_out_lease, running

pytestmark = pytest.mark.postgresql

assert app.jobs.tables


def test_the_migrations_make_the_tables_that_the_code_uses(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_processes_that_start_together_migrate_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Database.migrate, databases))
    for each in databases:
        each.close()


@pytest.mark.slow
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_client_that_vanished_inside_a_transaction_holds_nobody_up_for_long(database: Database) -> None:
    """On SQLite nothing ends it but its own end."""
    claimed = running(database)
    run_out_lease(database, claimed.job_id)
    with database.engine.connect() as vanished:
        vanished.execute(update(Job).where(col(Job.id) == claimed.job_id).values(step=1))
        # It waits for the row's lock until the server ends the transaction.
        assert rescue_jobs(database, LossPolicy(max_losses=3)) == [claimed.job_id]
        vanished.invalidate()
