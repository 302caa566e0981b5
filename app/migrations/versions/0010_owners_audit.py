"""Owners of jobs and datasets, turns of owners in the queue, and the audit"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # What was there before belongs to an admin, and everybody may see it. The defaults stay for an API of the version
    # before that still runs.
    for table in ("job", "dataset"):
        with op.batch_alter_table(table) as changed:
            changed.add_column(sa.Column("owner", sa.String(), nullable=False, server_default="admin"))
            changed.add_column(sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.true()))
    with op.batch_alter_table("job") as job:
        job.drop_constraint("uq_job_idempotency_key", type_="unique")
        job.create_unique_constraint("uq_job_idempotency_key", ["owner", "idempotency_key"])
    op.create_table(
        "ownerturn",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("claimed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("owner"),
    )
    op.create_table(
        "auditentry",
        sa.Column("id", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_auditentry_at"), "auditentry", ["at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_auditentry_at"), table_name="auditentry")
    op.drop_table("auditentry")
    op.drop_table("ownerturn")
    with op.batch_alter_table("job") as job:
        job.drop_constraint("uq_job_idempotency_key", type_="unique")
        job.create_unique_constraint("uq_job_idempotency_key", ["idempotency_key"])
    for table in ("dataset", "job"):
        with op.batch_alter_table(table) as changed:
            changed.drop_column("shared")
            changed.drop_column("owner")
