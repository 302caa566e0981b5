"""Epochs of DSR networks"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OF_DSR = (
    "train_pixel_loss",
    "train_perceptual_loss",
    "train_identity_loss",
    "val_psnr",
    "val_ssim",
    "val_identity",
    "dsr_lr",
)


def upgrade() -> None:
    with op.batch_alter_table("epochmetric") as metric:
        for column in ("train_accuracy", "head_lr"):
            metric.alter_column(column, nullable=True, existing_type=sa.Float(), existing_nullable=False)
        for column in _OF_DSR:
            metric.add_column(sa.Column(column, sa.Float(), nullable=True))
