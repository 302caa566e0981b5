"""Search and lists of jobs: a text to search in, and two indexes; deleted jobs"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_PLACES = ("dataset", "name", "train_dir", "val_dir", "eval_dir")


def upgrade() -> None:
    with op.batch_alter_table("job") as job:
        job.add_column(sa.Column("search_text", sa.Text(), nullable=False, server_default=""))
        job.create_index("ix_job_kind_id", ["kind", "id"])
        job.create_index("ix_job_counts", ["kind", "status", "owner", "shared"])
    _write_search_texts(op.get_bind())
    op.create_table(
        "deletedjob",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("idempotency_key", sa.String(), nullable=True),
        sa.Column("deleted_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_deletedjob_idempotency_key"), "deletedjob", ["idempotency_key"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_deletedjob_idempotency_key"), table_name="deletedjob")
    op.drop_table("deletedjob")
    with op.batch_alter_table("job") as job:
        job.drop_index("ix_job_counts")
        job.drop_index("ix_job_kind_id")
        job.drop_column("search_text")


def _write_search_texts(connection: sa.Connection) -> None:
    """As app/jobs/search_text.py wrote them at this revision."""
    typed = [sa.column(name, sa.JSON()) for name in ("tags", "config")]
    job = sa.table("job", sa.column("id"), sa.column("name"), *typed, sa.column("search_text"))
    texts = [
        {"job_id": job_id, "text": _text(name, tags, config)}
        for job_id, name, tags, config in connection.execute(
            sa.select(job.c["id"], job.c["name"], job.c["tags"], job.c["config"])
        )
    ]
    if texts:
        update = sa.update(job).where(job.c.id == sa.bindparam("job_id")).values(search_text=sa.bindparam("text"))
        connection.execute(update, texts)


def _text(name: str, tags: list[str], config: dict[str, object]) -> str:
    place = next((value for field in _PLACES if isinstance(value := config.get(field), str)), "")
    return "".join((name, "\x1f", place, "\x1e", *(tag + "\x1e" for tag in tags))).casefold()
