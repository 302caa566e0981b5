"""Evaluations are jobs too"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("kind", sa.String(), nullable=False, server_default="finetuning"))
    with op.batch_alter_table("job") as job:
        job.alter_column("kind", server_default=None, existing_type=sa.String(), existing_nullable=False)
