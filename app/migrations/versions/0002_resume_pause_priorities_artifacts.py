"""Resume, pause, priorities, idempotency keys, artifacts"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("idempotency_key", sa.String(), nullable=True))
        job.add_column(sa.Column("request_digest", sa.String(), nullable=True))
        job.add_column(sa.Column("priority", sa.Integer(), nullable=False, server_default="0"))
        job.add_column(sa.Column("queued_at", sa.Float(), nullable=False, server_default="0"))
        job.add_column(sa.Column("retry_at", sa.Float(), nullable=True))
        job.add_column(sa.Column("waiting_reason", sa.String(), nullable=True))
        job.add_column(sa.Column("step", sa.Integer(), nullable=True))
        job.create_unique_constraint("uq_job_idempotency_key", ["idempotency_key"])
    op.execute("UPDATE job SET queued_at = created_at")
    with op.batch_alter_table("job") as job:
        job.alter_column("priority", server_default=None, existing_type=sa.Integer(), existing_nullable=False)
        job.alter_column("queued_at", server_default=None, existing_type=sa.Float(), existing_nullable=False)

    with op.batch_alter_table("attempt") as attempt:
        attempt.add_column(sa.Column("reason", sa.String(), nullable=True))
        attempt.add_column(sa.Column("receipt", sa.JSON(), nullable=True))
        attempt.add_column(sa.Column("recorded_messages", sa.Integer(), nullable=False, server_default="0"))
        attempt.add_column(sa.Column("steps_done", sa.Integer(), nullable=False, server_default="0"))
        attempt.add_column(sa.Column("heard_at", sa.Float(), nullable=True))
    with op.batch_alter_table("attempt") as attempt:
        for column in ("recorded_messages", "steps_done"):
            attempt.alter_column(column, server_default=None, existing_type=sa.Integer(), existing_nullable=False)

    # Version 0.1 kept the epochs of attempts that had been given up, and showed the newest attempt's only.
    op.execute(
        "DELETE FROM epochmetric WHERE attempt < (SELECT job.attempt FROM job WHERE job.id = epochmetric.job_id)"
    )
    with op.batch_alter_table("epochmetric") as metric:
        for column in ("val_genuine_similarity", "val_impostor_similarity", "val_d_prime"):
            metric.add_column(sa.Column(column, sa.Float(), nullable=True))
        metric.create_unique_constraint("uq_epochmetric_once", ["job_id", "stage", "epoch"])

    op.create_table(
        "artifact",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("pinned", sa.Boolean(), nullable=False),
        sa.Column("resume_point", sa.JSON(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index(op.f("ix_artifact_job_id"), "artifact", ["job_id"], unique=False)
    _list_checkpoints()


def _list_checkpoints() -> None:
    """The files that version 0.1 named in the job's row only."""
    connection = op.get_bind()
    job = sa.table(
        "job",
        sa.column("id", sa.String),
        sa.column("created_at", sa.Float),
        sa.column("finished_at", sa.Float),
        sa.column("checkpoint", sa.JSON),
    )
    artifact = sa.table(
        "artifact",
        *(sa.column(name, sa.String) for name in ("key", "job_id", "kind", "sha256")),
        *(sa.column(name, sa.Integer) for name in ("attempt", "stage", "epoch", "size", "sequence")),
        sa.column("created_at", sa.Float),
        sa.column("pinned", sa.Boolean),
    )
    rows = [
        {
            "key": row.checkpoint[kind]["key"],
            "job_id": row.id,
            "attempt": int(row.checkpoint[kind]["key"].split("/")[1].removeprefix("attempt-")),
            "kind": kind,
            "stage": 2,
            "epoch": row.checkpoint["epoch"],
            "size": row.checkpoint[kind]["size"],
            "sha256": row.checkpoint[kind]["sha256"],
            "created_at": row.finished_at or row.created_at,
            "sequence": 0,
            "pinned": False,
        }
        for row in connection.execute(sa.select(job)).all()
        if row.checkpoint is not None
        for kind in ("full", "backbone")
    ]
    if rows:
        op.bulk_insert(artifact, rows)
