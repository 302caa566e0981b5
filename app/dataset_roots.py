"""The two roots of names: the folder that people fill themselves, and the one with what came by uploads.

A name is looked up in the first root. Only if that has nothing of the name, the folder of uploads is looked at: what a
person put there by hand is never hidden.
"""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from app.settings import Settings

DATASETS, WEIGHTS = "datasets", "weights"


@dataclass(frozen=True)
class Roots:
    own: Path
    uploaded: Path

    def of_name(self, name: str) -> Path:
        """Return the root that has the name, or the first."""
        first = next((part for part in PurePosixPath(name).parts if part != "."), "")
        if first in ("", "/", "..") or "\0" in name or os.path.lexists(self.own / first):
            return self.own
        return self.uploaded if os.path.lexists(self.uploaded / first) else self.own

    def of_path(self, path: Path) -> Path:
        """Return the root that the path lies in, or the first."""
        return self.uploaded if path.resolve().is_relative_to(self.uploaded.resolve()) else self.own


def dataset_roots(settings: Settings) -> Roots:
    return Roots(settings.datasets_dir, settings.uploads_dir / DATASETS)


def weights_roots(settings: Settings) -> Roots:
    return Roots(settings.weights_dir, settings.uploads_dir / WEIGHTS)
