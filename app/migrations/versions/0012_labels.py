"""Labels of jobs: name, tags and notes"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("name", sa.String(), nullable=False, server_default=""))
        job.add_column(sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
        job.add_column(sa.Column("notes", sa.Text(), nullable=False, server_default=""))


def downgrade() -> None:
    with op.batch_alter_table("job") as job:
        for column in ("notes", "tags", "name"):
            job.drop_column(column)
