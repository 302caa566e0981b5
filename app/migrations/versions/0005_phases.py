"""The phase of a job, and its progress"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("phase", sa.String(), nullable=True))
        job.add_column(sa.Column("phase_progress", sa.Float(), nullable=True))
