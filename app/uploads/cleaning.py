"""Deletes expired uploads, and files without a row."""

import re
import shutil
import time
from pathlib import Path

from sqlmodel import col, select

from app.access.audit import note
from app.database import Database, database_now
from app.dataset_roots import WEIGHTS
from app.deletion import Freed, delete_file
from app.jobs.tables import Upload, UploadedInput
from app.uploads.rows import is_open

_ABANDONED_SECONDS = 3600.0
_FILE = re.compile(r"\.?([0-9a-f]{24})(\.unchecked(\..+\.partial)?)?")
_QUARANTINE = re.compile(r"[0-9a-f]{24}-\d+")


def clean_uploads(database: Database, uploads_dir: Path) -> Freed:
    """Delete the expired uploads that no job reads, and what killed processes left. Safe in any process at any time."""
    folder = uploads_dir / "incoming"
    # List the disk before the rows: every listed file whose row exists then has it when the rows are read.
    files = [path for path in _entries(folder) if _FILE.fullmatch(path.name)]
    weights = _entries(uploads_dir / WEIGHTS)
    expired = set()
    with database.writing() as session:
        for upload in session.exec(select(Upload).where(col(Upload.expires_at) <= database_now())).all():
            if upload.job_id is None or not is_open(session, upload.job_id):
                session.delete(upload)
                note(session, "expire", f"/uploads/{upload.id}", owner=upload.owner, name=upload.name)
                expired.add(upload.id)
        session.flush()
        named = set(session.exec(select(Upload.id)))
        of_weights = set(session.exec(select(UploadedInput.name).where(UploadedInput.kind == WEIGHTS)))
    of_upload = {path: path.name.lstrip(".").partition(".")[0] for path in files}
    unnamed = [
        path
        for path, upload_id in of_upload.items()
        if upload_id in expired or (upload_id not in named and _is_old(path))
    ]
    unnamed += [path for path in weights if path.name not in of_weights and _was_linked_long_ago(path)]
    freed = sum((delete_file(path) for path in unnamed), start=Freed())
    for path in _entries(uploads_dir / "quarantine"):
        if _QUARANTINE.fullmatch(path.name) and _is_old(path):
            job_id = path.name.partition("-")[0]
            with database.reading() as session:
                if not is_open(session, job_id):
                    shutil.rmtree(path, ignore_errors=True)
    return freed


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except FileNotFoundError:
        return []


def _is_old(path: Path) -> bool:
    """Not written for an hour: its row may be about to be written."""
    try:
        return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
    except FileNotFoundError:
        return False


def _was_linked_long_ago(path: Path) -> bool:
    """As `_is_old`, of a file that was written long before it got its name."""
    try:
        return time.time() - path.stat(follow_symlinks=False).st_ctime > _ABANDONED_SECONDS
    except FileNotFoundError:
        return False
