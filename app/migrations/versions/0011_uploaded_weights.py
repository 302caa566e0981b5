"""Whether uploaded weights are shared, and which network they have"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("uploadedinput") as table:
        table.add_column(sa.Column("shared", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("network", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("uploadedinput") as table:
        table.drop_column("network")
        table.drop_column("shared")
