"""Where the files of jobs live: one folder a job and attempt, keys relative to the root in the rows."""

import shutil
from pathlib import Path

from app.jobs.errors import CheckpointFileMissing


def copy_whole(source: Path, target: Path) -> Path:
    """Copy a file; `target` appears, or is replaced, only once it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(target.name + ".part")
    shutil.copyfile(source, aside)
    return aside.replace(target)


class Artifacts:
    """The folder that API and workers share."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def attempt_directory(self, job_id: str, attempt: int) -> Path:
        """A fresh folder that only this attempt writes to."""
        directory = self._root / job_id / f"attempt-{attempt}"
        directory.mkdir(parents=True, exist_ok=True)
        return directory

    def key_of(self, path: Path) -> str:
        return path.relative_to(self._root).as_posix()

    def path_of(self, key: str) -> Path:
        """Raises CheckpointFileMissing."""
        path = self._root / key
        if not path.is_file():
            raise CheckpointFileMissing(path)
        return path
