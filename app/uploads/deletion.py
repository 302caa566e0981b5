"""Datasets and weights that came by uploads: who needs them, and their deletion."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from sqlmodel import Session, col, select

from app.access.acting import caller_of
from app.finetune.dataset_folders import dataset_of
from app.finetune.job_kinds import known_kind
from app.jobs.states import TERMINAL
from app.jobs.tables import Job
from app.jobs.transitions.submission import new_job_id
from app.uploads.errors import InputInUse

_FOLDER_FIELDS = ("dataset", "train_dir", "val_dir", "eval_dir")


def refuse_if_weights_needed(session: Session, name: str) -> None:
    """Raises InputInUse where a job that has not ended names the weights."""

    def needs(job: Job) -> bool:
        kind = known_kind(job.kind)
        return kind is not None and any(_is_named(job.config.get(field), name) for field in kind.weights)

    _refuse(session, f"weights {name}", [job for job in _open_jobs(session) if needs(job)])


def refuse_if_dataset_needed(session: Session, name: str, check_job_id: str | None) -> None:
    """Raises InputInUse where a job that has not ended names the dataset or a part of it. Its own check does not
    count."""

    def needs(job: Job) -> bool:
        return job.id != check_job_id and (
            any(each["name"] == name for each in job.datasets or ()) or _names_dataset(job.config, name)
        )

    _refuse(session, f"dataset {name}", [job for job in _open_jobs(session) if needs(job)])


class Aside:
    """A place in the quarantine for files and folders that are deleted after their rows."""

    def __init__(self, uploads_dir: Path) -> None:
        self._folder = uploads_dir / "quarantine" / f"{new_job_id()}-0"
        self._taken: Path | None = None

    def take(self, path: Path) -> None:
        """Take the file or folder away. It may be gone already."""
        if os.path.lexists(path):
            self._folder.mkdir(parents=True, mode=0o700)
            path.rename(self._folder / path.name)
            self._taken = path

    def put_back(self) -> None:
        if self._taken is not None:
            (self._folder / self._taken.name).rename(self._taken)

    def delete(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@contextmanager
def set_aside(uploads_dir: Path) -> Iterator[Aside]:
    """Delete what the block took aside; put it back if the block raises, as where the transaction in it fails.

    A service that is killed meanwhile leaves it in the quarantine, which is cleaned.
    """
    aside = Aside(uploads_dir)
    try:
        yield aside
    except BaseException:
        aside.put_back()
        raise
    finally:
        aside.delete()


def _open_jobs(session: Session) -> list[Job]:
    return list(session.exec(select(Job).where(col(Job.status).not_in(TERMINAL)).order_by(col(Job.id))))


def _refuse(session: Session, what: str, jobs: list[Job]) -> None:
    if jobs:
        caller = caller_of(session)
        seen = [job.id for job in jobs if caller.may_see(job.owner, job.shared)]
        raise InputInUse(what, seen, len(jobs) - len(seen))


def _is_named(value: object, name: str) -> bool:
    return isinstance(value, str) and PurePosixPath(value) == PurePosixPath(name)


def _names_dataset(config: Mapping[str, Any], name: str) -> bool:
    values = (config.get(field) for field in _FOLDER_FIELDS)
    return any(isinstance(each, str) and dataset_of(PurePosixPath(each))[0] == PurePosixPath(name) for each in values)
