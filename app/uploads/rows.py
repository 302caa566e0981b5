"""The rows of uploads, and the quota of each owner.

A row is written after the file was made, and deleted before it: a file without a row is a leftover.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import func, text
from sqlmodel import Session, col, select

from app.access.acting import act_for
from app.access.audit import note
from app.access.callers import Caller
from app.database import Database, database_now
from app.jobs.states import TERMINAL
from app.jobs.tables import Job, Upload, UploadedInput
from app.jobs.transitions.fence import clock
from app.jobs.transitions.submission import new_job_id
from app.settings import Settings
from app.uploads.errors import (
    TooManyUploads,
    UploadDiskFull,
    UploadInUse,
    UploadNotFound,
    UploadQuotaExceeded,
    UploadUnfinished,
)
from app.uploads.files import UploadFile

MOST_UNFINISHED = 1000
"""Unfinished uploads of one owner."""

_TURNS_LOCK = 0xED6EFADE
_SECONDS_AN_HOUR = 3600.0


class Uploads:
    """The uploads of one service. All methods wait for the disk and the database: call them in a thread."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self.folder = settings.uploads_dir / "incoming"

    @property
    def quota(self) -> int:
        """Bytes of one owner."""
        return int(self._settings.upload_quota_gb * 1e9)

    def file(self, upload_id: str) -> UploadFile:
        return UploadFile(self.folder, upload_id)

    def create(self, caller: Caller, name: str, length: int, *, resumable: bool) -> Upload:
        """Raises UploadQuotaExceeded, TooManyUploads or UploadDiskFull."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        upload_id = new_job_id()
        with self._database.writing() as session:
            if session.get_bind().dialect.name == "postgresql":
                # SQLite has one writer anyway. Two creations must not both take the rest of the quota.
                session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TURNS_LOCK})
            now = clock(session)
            self._refuse_beyond_quota(session, caller.name, length)
            self._refuse_on_full_disk(session, length)
            self.file(upload_id).create()
            upload = Upload(
                id=upload_id,
                owner=caller.name,
                name=name,
                length=length,
                resumable=resumable,
                created_at=now,
                expires_at=now + self._lifetime,
            )
            session.add(upload)
            session.flush()
            act_for(session, caller)
            note(session, "begin upload", f"/uploads/{upload_id}", name=name, length=length)
        return upload

    def find(self, owner: str, upload_id: str) -> Upload:
        """Raises UploadNotFound, also for an expired one and for another owner's."""
        with self._database.reading() as session:
            return find_upload(session, owner, upload_id)

    def list(self, owner: str) -> Sequence[Upload]:
        """Newest first."""
        with self._database.reading() as session:
            mine = select(Upload).where(col(Upload.owner) == owner, col(Upload.expires_at) > database_now())
            return session.exec(mine.order_by(col(Upload.id).desc())).all()

    def used(self, owner: str) -> int:
        """Bytes of the quota that are used."""
        with self._database.reading() as session:
            return used_bytes(session, owner)

    def received(
        self, caller: Caller, upload_id: str, *, finished: bool, length: int | None = None, name: str | None = None
    ) -> Upload:
        """Note that bytes came in: the upload expires later. `length` and `name` replace those announced."""
        with self._database.writing() as session:
            upload = session.get(Upload, upload_id, with_for_update=True)
            if upload is None:
                raise UploadNotFound(upload_id)
            now = clock(session)
            upload.expires_at = now + self._lifetime
            upload.length = upload.length if length is None else length
            upload.name = upload.name if name is None else name
            if finished and upload.finished_at is None:
                upload.finished_at = now
                act_for(session, caller)
                note(session, "finish upload", f"/uploads/{upload_id}", name=upload.name, length=upload.length)
            session.flush()
        return upload

    def note_job(self, upload_id: str, job_id: str) -> None:
        """Keep the upload while the job reads it."""
        with self._database.writing() as session:
            if (upload := session.get(Upload, upload_id)) is not None:
                upload.job_id = job_id

    def delete(self, caller: Caller, upload_id: str) -> None:
        """Raises UploadNotFound, and UploadInUse while a job reads it."""
        with self._database.writing() as session:
            upload = find_upload(session, caller.name, upload_id)
            if upload.job_id is not None and is_open(session, upload.job_id):
                raise UploadInUse(upload_id, upload.job_id)
            session.delete(upload)
            act_for(session, caller)
            note(session, "delete", f"/uploads/{upload_id}", name=upload.name, length=upload.length)
        self.file(upload_id).delete()

    @property
    def _lifetime(self) -> float:
        return self._settings.upload_expire_hours * _SECONDS_AN_HOUR

    def _refuse_beyond_quota(self, session: Session, owner: str, length: int) -> None:
        open_ones = select(func.count()).where(col(Upload.owner) == owner, col(Upload.finished_at).is_(None))
        if session.exec(open_ones).one() >= MOST_UNFINISHED:
            raise TooManyUploads(MOST_UNFINISHED)
        used = used_bytes(session, owner)
        if used + length > self.quota:
            raise UploadQuotaExceeded(length, used, self.quota)

    def _refuse_on_full_disk(self, session: Session, length: int) -> None:
        """Keep the bytes that other uploads announced, and those that the setting keeps free."""
        unfinished = session.exec(select(Upload.id, Upload.length).where(col(Upload.finished_at).is_(None))).all()
        announced = sum(max(0, wanted - _size(self.folder / upload_id)) for upload_id, wanted in unfinished)
        kept = int(self._settings.upload_keep_free_gb * 1e9)
        if shutil.disk_usage(self.folder).free - announced - kept < length:
            raise UploadDiskFull


def find_upload(session: Session, owner: str, upload_id: str) -> Upload:
    """Raises UploadNotFound, also for an expired one and for another owner's."""
    upload = session.get(Upload, upload_id)
    if upload is None or upload.owner != owner or upload.expires_at <= clock(session):
        raise UploadNotFound(upload_id)
    return upload


def path_of_finished(upload: Upload, uploads_dir: Path) -> Path:
    """Return the path of a whole upload. Raises UploadNotFound or UploadUnfinished."""
    file = UploadFile(uploads_dir / "incoming", upload.id)
    offset = file.offset()
    if upload.finished_at is None and not (upload.resumable and offset == upload.length):
        raise UploadUnfinished(upload.id, offset, upload.length)
    return file.path


def is_open(session: Session, job_id: str) -> bool:
    """Return whether the job has not ended."""
    job = session.get(Job, job_id)
    return job is not None and job.status not in TERMINAL


def used_bytes(session: Session, owner: str) -> int:
    """The announced bytes of the owner's uploads, and the bytes of what became of others."""
    sums = (
        select(func.coalesce(func.sum(Upload.length), 0)).where(col(Upload.owner) == owner),
        select(func.coalesce(func.sum(UploadedInput.size), 0)).where(col(UploadedInput.owner) == owner),
    )
    return sum(int(session.exec(each).one()) for each in sums)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - a hot path
    except OSError:
        return 0
