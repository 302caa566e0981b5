"""The resume points of a run at the terminal: `resume.json` in its output folder, next to the states that it names.

The service keeps them in its database. Two points are kept, so that the older one serves where the newest is damaged.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from app.finetune.atomic import partial_files
from app.finetune.checkpoint import WrittenFile, relocated
from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ConfigError
from app.finetune.events import StateSaved
from worker.training.runtime.control import Control
from worker.training.storage.atomic import write_bytes_whole
from worker.training.storage.digests import sha256_of
from worker.training.storage.paths import ResumeFrom

FILE_NAME = "resume.json"

_POINTS_KEPT = 2


@dataclass(frozen=True)
class Resumable:
    """The config of the run, and its resume points, newest first."""

    config: FinetuneConfig | DsrTrainingConfig
    points: tuple[StateSaved, ...]


_ADAPTER = TypeAdapter(Resumable)


class ResumePoints:
    """The resume points of one output folder. The files of superseded points are removed."""

    def __init__(self, output_dir: Path) -> None:
        self._folder = output_dir
        self._file = output_dir / FILE_NAME

    def read(self) -> Resumable | None:
        """None where the folder has no resume point. Raises ConfigError where the file is damaged."""
        try:
            found = _ADAPTER.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise ConfigError(f"{self._file} is damaged", "remove it to train from the start") from None
        return replace(found, points=tuple(map(self._here, found.points)))

    def newest_whole(self, found: Resumable) -> ResumeFrom:
        """The newest point whose files are all unchanged. Raises ConfigError where there is none."""
        for point in found.points:
            files = [point.file, *(point.best.files if point.best else ())]
            if all(_is_whole(file) for file in files):
                return ResumeFrom(point.file.path, point.best)
        raise ConfigError(
            f"none of the states that {self._file} names is there and whole", "remove it to train from the start"
        )

    def record(self, config: FinetuneConfig | DsrTrainingConfig, saved: StateSaved) -> None:
        """Make `saved` the newest point. Raises DiskFull."""
        before = self.read()
        points = (saved, *(before.points if before else ()))
        kept = points[:_POINTS_KEPT]
        stored = Resumable(config, tuple(map(_stored, kept)))
        write_bytes_whole(self._file, _ADAPTER.dump_json(stored, indent=2), Control())
        self._remove_superseded(points, kept)

    def clear(self) -> None:
        """Remove everything except the best checkpoint."""
        before = self.read()
        self._file.unlink(missing_ok=True)
        if before:
            self._remove_superseded(before.points, ())

    def _remove_superseded(self, points: tuple[StateSaved, ...], kept: tuple[StateSaved, ...]) -> None:
        states = {point.file.path for point in kept}
        for path in (*self._folder.glob("state-*.pth"), *partial_files(self._folder, "state-*")):
            if path not in states:
                path.unlink(missing_ok=True)
        for folder in _best_folders(points) - _best_folders(kept or points[:1]):
            shutil.rmtree(folder, ignore_errors=True)

    def _here(self, point: StateSaved) -> StateSaved:
        """`point` with the paths in the output folder as it is now, which may have been moved."""
        best = point.best and point.best.relocated(lambda path: self._folder / path.parent.name / path.name)
        return replace(point, file=relocated(point.file, lambda path: self._folder / path.name), best=best)


def _stored(point: StateSaved) -> StateSaved:
    """`point` with paths relative to the output folder, whose own name may be no UTF-8."""
    best = point.best and point.best.relocated(lambda path: Path(path.parent.name, path.name))
    return replace(point, file=relocated(point.file, lambda path: path.name), best=best)


def _best_folders(points: tuple[StateSaved, ...]) -> set[Path]:
    return {point.best.full.path.parent for point in points if point.best}


def _is_whole(file: WrittenFile) -> bool:
    try:
        return sha256_of(file.path, Control()) == file.sha256
    except OSError:
        return False
