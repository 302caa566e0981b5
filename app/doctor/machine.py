"""Checks of the database as a whole and of the disk."""

import shutil
from collections.abc import Iterator

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from humanize import naturalsize

from app.database import alembic_config
from app.doctor.findings import Finding, Scope
from app.finetune.errors import name_some
from app.sqlite_file import find_damage, sqlite_path

LOW_SPACE_BYTES = 10**9


def database_file(scope: Scope) -> Iterator[Finding]:
    """SQLite's integrity_check and foreign_key_check pass."""
    path = sqlite_path(scope.settings.database_url)
    if path is not None and (damage := find_damage(path)):
        yield Finding(
            f"the database {path} is damaged: {name_some(damage)}",
            "stop the service and restore the last backup (docs/operations.md); no other check runs before that",
        )


def schema(scope: Scope) -> Iterator[Finding]:
    """The tables have this version's schema."""
    with scope.database.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        head = ScriptDirectory.from_config(alembic_config(connection)).get_current_head()
    if current != head:
        yield Finding(
            f"the database has schema version {current or '(none)'}, but this program needs {head}",
            "start the service of this version once to upgrade the schema, then run doctor again",
        )


def disk_space(scope: Scope) -> Iterator[Finding]:
    """Every disk that the service writes to has a gigabyte free."""
    seen = set()
    for folder in (scope.settings.var_dir, scope.settings.artifacts_dir, scope.settings.prepared_dir):
        if not folder.is_dir() or (device := folder.stat().st_dev) in seen:
            continue
        seen.add(device)
        if (free := shutil.disk_usage(folder).free) < LOW_SPACE_BYTES:
            yield Finding(
                f"the disk of {folder} has only {naturalsize(free)} free",
                "free some space: lower EDGEFACE_KEEP_STATES_DAYS, EDGEFACE_KEEP_CHECKPOINTS_DAYS or "
                "EDGEFACE_KEEP_PREPARED_DAYS, unpin checkpoints; jobs that wait for space then resume",
            )
