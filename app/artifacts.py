"""Where the files of jobs live: one folder a job and attempt, keys relative to the root in the rows."""

from pathlib import Path

from app.jobs.errors import CheckpointFileMissing


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
