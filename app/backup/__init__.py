"""Backups while the service runs, and their restoration: the database alone, or with the files of the service."""

from app.backup.errors import (
    BackupDamaged,
    BackupExists,
    BackupFailed,
    BackupInvalid,
    BackupNeedsServer,
    RestoreNotEmpty,
    RestoreOtherDatabase,
)
from app.backup.full import back_up_all
from app.backup.restore import restore
from app.backup.sqlite_copy import back_up

__all__ = [
    "BackupDamaged",
    "BackupExists",
    "BackupFailed",
    "BackupInvalid",
    "BackupNeedsServer",
    "RestoreNotEmpty",
    "RestoreOtherDatabase",
    "back_up",
    "back_up_all",
    "restore",
]
