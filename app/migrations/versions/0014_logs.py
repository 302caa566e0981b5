"""Logs of jobs; TAR of each epoch; sweeps"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "joblog",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"]),
        sa.PrimaryKeyConstraint("job_id", "number"),
    )
    with op.batch_alter_table("epochmetric") as epochmetric:
        epochmetric.add_column(sa.Column("val_tar_at_far_1_percent", sa.Float(), nullable=True))
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("sweep", sa.String(), nullable=True))
        job.create_index(op.f("ix_job_sweep"), ["sweep"])


def downgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.drop_index(op.f("ix_job_sweep"))
        job.drop_column("sweep")
    with op.batch_alter_table("epochmetric") as epochmetric:
        epochmetric.drop_column("val_tar_at_far_1_percent")
    op.drop_table("joblog")
