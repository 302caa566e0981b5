"""What the service shows in place of the folders of its machine."""

import os
import sys
import tempfile
from pathlib import Path

from app.finetune.shown_paths import ShownPaths
from app.settings import Settings


def shown_paths(settings: Settings) -> ShownPaths:
    """Return the names of the service's roots, and of the folders of its code, which tracebacks name."""
    linked = (Path(folder) for folder in settings.linked_dirs.split(os.pathsep) if folder)
    return ShownPaths.of(
        [
            (settings.datasets_dir, "datasets"),
            (settings.weights_dir, "weights"),
            (settings.artifacts_dir, "artifacts"),
            (settings.prepared_dir, "prepared"),
            (settings.uploads_dir, "uploads"),
            (settings.var_dir, "var"),
            *((folder, folder.name) for folder in linked),
            (Path(sys.prefix), "python"),
            (Path(sys.base_prefix), "python"),
            (Path(__file__).parents[1], "edgeface-finetune"),
            (Path(tempfile.gettempdir()), "tmp"),
        ]
    )
