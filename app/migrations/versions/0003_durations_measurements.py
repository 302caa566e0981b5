"""Predicted and actual durations, measurements"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The defaults stay: an API of before, which still runs, inserts jobs without these columns.
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("kind", sa.String(), nullable=False, server_default="finetuning"))
        job.add_column(sa.Column("predicted", sa.JSON(), nullable=True))
        job.add_column(sa.Column("seconds_worked", sa.Float(), nullable=False, server_default="0"))
        job.add_column(sa.Column("measured", sa.JSON(), nullable=True))
    op.execute(
        "UPDATE job SET seconds_worked = (SELECT coalesce(sum(CASE WHEN attempt.outcome = 'succeeded' THEN ended_at "
        "ELSE coalesce(heard_at, ended_at) END - attempt.started_at), 0.0) FROM attempt "
        "WHERE attempt.job_id = job.id AND attempt.ended_at IS NOT NULL)"
    )
