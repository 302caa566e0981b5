"""Errors of a backup and of its restoration."""

import shlex
from pathlib import Path

from sqlalchemy import URL

from app.finetune.errors import Blame, EdgefaceError, name_some


class BackupExists(EdgefaceError):
    code = "backup_exists"
    blame: Blame = "request"

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists", "give another name, or --force to replace it")


class BackupNeedsServer(EdgefaceError):
    code = "backup_needs_pg_dump"
    blame: Blame = "request"

    def __init__(self, url: URL, target: Path) -> None:
        # Without the password: other users can read command lines. pg_dump asks for it, or reads PGPASSWORD.
        plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
        super().__init__(
            "the database is PostgreSQL, which has its own backup tools",
            f"pg_dump --format=custom --file={shlex.quote(str(target))} {shlex.quote(plain.render_as_string())}",
        )


class BackupDamaged(EdgefaceError):
    code = "backup_damaged"

    def __init__(self, database: Path, damage: list[str]) -> None:
        super().__init__(
            f"the copy of {database} is damaged, so it was not kept: {name_some(damage)}",
            "the database itself is most likely damaged too: see edgeface-finetune doctor, and keep older backups",
        )


class BackupFailed(EdgefaceError):
    code = "backup_failed"

    def __init__(self, target: Path, reason: object) -> None:
        super().__init__(
            f"{target} cannot be written: {reason}", "check that its folder exists and has space, then repeat"
        )


class BackupInvalid(EdgefaceError):
    code = "backup_invalid"
    blame: Blame = "request"

    def __init__(self, folder: Path, problems: list[str]) -> None:
        super().__init__(
            f"{folder} is not a whole backup: {name_some(problems)}; nothing was restored",
            "copy it again from where it was kept, or take an older one",
        )


class RestoreNotEmpty(EdgefaceError):
    code = "restore_not_empty"
    blame: Blame = "request"

    def __init__(self, place: object) -> None:
        super().__init__(
            f"{place} is not empty, and a restored service would mix with what is there",
            "stop the service and move the folder away, or set EDGEFACE_VAR_DIR and EDGEFACE_DATABASE_URL to new ones",
        )


class RestoreOtherDatabase(EdgefaceError):
    code = "restore_other_database"
    blame: Blame = "request"

    def __init__(self, stored: str, configured: str) -> None:
        super().__init__(
            f"the backup is of {stored}, and EDGEFACE_DATABASE_URL names {configured}", f"set it to {stored}"
        )
