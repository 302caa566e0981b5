"""Alembic's entry: runs inside the transaction that app.database.Database.migrate opened."""

from alembic import context
from sqlmodel import SQLModel

import app.access.tables
import app.jobs.tables

assert app.access.tables  # noqa: S101 - imported for the metadata it fills
assert app.jobs.tables  # noqa: S101

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
