"""Finds and deletes leftovers of killed processes in the artifacts' folder: files without a row, and empty folders.

Only files with names that jobs use are touched. Folders of jobs or attempts without rows are never deleted: they may
belong to another database, or be newer than a restored backup.
"""

import contextlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import select

from app.database import Database
from app.deletion import Freed, delete_file
from app.finetune.artifact_names import FORMATS
from app.finetune.job_kinds import KINDS
from app.jobs import queries
from app.jobs.errors import JobNotFound
from app.jobs.states import CLAIMED
from app.jobs.tables import Artifact, DeletedJob, Job

ABANDONED_SECONDS = 3600.0
"""Seconds without a change after which a file without a row is a leftover."""

_JOB = re.compile(r"[0-9a-f]{24}")
_ATTEMPT = re.compile(r"attempt-(\d+)")
_BEST = re.compile(r"best-epoch-\d+")


@dataclass(frozen=True)
class Leftovers:
    """`files` to delete; `folders` that may be empty afterwards, the deepest first; `unknown` folders, which stay."""

    files: list[Path]
    folders: list[Path]
    unknown: list[Path]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(_size(path) for path in self.files)


@dataclass(frozen=True)
class _Attempt:
    path: Path
    job_id: str
    number: int
    files: list[Path]
    folders: list[Path]


def find_leftovers(database: Database, artifacts_dir: Path) -> Leftovers:
    """Find the leftovers without changing anything."""
    # List the disk before the rows: every listed file whose row exists then has it when the rows are read.
    attempts = list(_attempts(artifacts_dir))
    old = {path for attempt in attempts for path in attempt.files if _is_old(path)}
    with database.reading() as session:
        rows = session.exec(select(Job.id, Job.attempt, Job.status)).all()
        checkpoints = [job.checkpoint for job in session.exec(select(Job)) if job.checkpoint is not None]
        named = set(session.exec(select(Artifact.key)))
        deleted = set(session.exec(select(DeletedJob.id)))
    newest = {job_id: attempt for job_id, attempt, _ in rows}
    living = {(job_id, attempt) for job_id, attempt, status in rows if status in CLAIMED}
    named |= {file.key for checkpoint in checkpoints for file in checkpoint.files}

    known = [each for each in attempts if each.number <= newest.get(each.job_id, 0)]
    abandoned = [each for each in known if (each.job_id, each.number) not in living]
    return Leftovers(
        files=[
            path
            for attempt in abandoned
            for path in attempt.files
            if path in old and path.relative_to(artifacts_dir).as_posix() not in named
        ],
        folders=[folder for attempt in abandoned for folder in (*attempt.folders, attempt.path)],
        unknown=sorted({each.path for each in attempts if each.job_id not in deleted} - {each.path for each in known}),
    )


def remove_leftovers(database: Database, artifacts_dir: Path) -> Freed:
    """Delete the leftovers. Safe in any process at any time, also while jobs run."""
    leftovers = find_leftovers(database, artifacts_dir)
    freed = sum((delete_file(path) for path in leftovers.files), start=Freed())
    for folder in leftovers.folders:
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()
    for folder in _subfolders(artifacts_dir, _JOB):
        if _is_empty(folder):
            _remove_job_folder(database, folder)
    return freed


def _remove_job_folder(database: Database, folder: Path) -> None:
    """Remove a job's folder under the job's lock, so that a worker that claims the job creates its folder
    afterwards."""
    with contextlib.suppress(JobNotFound, OSError), database.writing() as session:
        if queries.locked(session, folder.name).status not in CLAIMED:
            folder.rmdir()


def _attempts(artifacts_dir: Path) -> Iterator[_Attempt]:
    for job in _subfolders(artifacts_dir, _JOB):
        for attempt in _subfolders(job, _ATTEMPT):
            folders = _subfolders(attempt, _BEST)
            files = [path for folder in (attempt, *folders) for path in _files(folder)]
            yield _Attempt(attempt, job.name, int(attempt.name.removeprefix("attempt-")), files, folders)


def _subfolders(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Return the matching subfolders, without links, which may lead to foreign files."""
    return [
        Path(entry.path)
        for entry in _entries(folder)
        if pattern.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
    ]


def _files(folder: Path) -> list[Path]:
    names = _file_names()
    return [
        Path(entry.path)
        for entry in _entries(folder)
        if names.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
    ]


def _file_names() -> re.Pattern[str]:
    """Match whole files of jobs, files that are still written aside, and the reserved space."""
    known = {each.file_name for each in FORMATS.values()}
    known |= {name for kind in KINDS.values() for name in kind.checkpoint.values()}
    whole = rf"(?:{'|'.join(map(re.escape, sorted(known)))}|state-[\d-]+\.pth)"
    return re.compile(rf"{whole}|\.{whole}\..+|\.reserved")


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:  # deleted meanwhile, or never created
        return []


def _is_empty(folder: Path) -> bool:
    return not _entries(folder)


def _is_old(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
    except FileNotFoundError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
