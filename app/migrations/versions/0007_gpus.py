"""The GPUs of the workers, and the GPU of an attempt"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("attempt") as attempt:
        attempt.add_column(sa.Column("gpu", sa.JSON(), nullable=True))
    with op.batch_alter_table("workerseen") as worker:
        worker.add_column(sa.Column("gpus", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("workerseen") as worker:
        worker.drop_column("gpus")
    with op.batch_alter_table("attempt") as attempt:
        attempt.drop_column("gpu")
