"""Records of datasets, and how a job reads its folders"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("subject_pattern", sa.String(), nullable=False),
        sa.Column("registered_at", sa.Float(), nullable=False),
        sa.Column("listed_at", sa.Float(), nullable=False),
        sa.Column("listing", sa.JSON(), nullable=False),
        sa.Column("check_job_id", sa.String(), nullable=True),
        sa.Column("checked_at", sa.Float(), nullable=True),
        sa.Column("findings", sa.JSON(), nullable=True),
        sa.Column("manifest", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="uq_dataset_name"),
    )
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("datasets", sa.JSON(), nullable=True))
