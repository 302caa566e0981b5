"""Compiled networks on the disk, in the format of worker/training/loop/compiled_backbone.py: their age. None of them is
needed: without one a training goes on uncompiled."""

import re
import shutil
import time
from pathlib import Path

from app.deletion import Freed, delete_file
from app.finetune.artifact_names import COMPILED_MARKER
from app.leftovers import ABANDONED_SECONDS

_FOLDER = re.compile(r"[0-9a-f]{64}")


def find_unused(folder: Path, keep_seconds: float) -> list[Path]:
    """The compiled networks in `folder` that nobody used for `keep_seconds`, at least an hour; and those that were not
    finished, an hour after the last write."""
    if not folder.is_dir():
        return []
    networks = [path for path in folder.iterdir() if _FOLDER.fullmatch(path.name) and not path.is_symlink()]
    return sorted(path for path in networks if path.is_dir() and _idle_seconds(path) > _limit(path, keep_seconds))


def clean_compiled(folder: Path, keep_seconds: float) -> Freed:
    """Delete them, the marker first: without it nobody loads from the folder."""
    freed = Freed()
    for network in find_unused(folder, keep_seconds):
        freed += delete_file(network / COMPILED_MARKER)
        freed = sum((delete_file(path) for path in network.rglob("*") if not path.is_dir()), start=freed)
        shutil.rmtree(network, ignore_errors=True)
    return freed


def _limit(network: Path, keep_seconds: float) -> float:
    return max(keep_seconds if (network / COMPILED_MARKER).is_file() else 0.0, ABANDONED_SECONDS)


def _idle_seconds(network: Path) -> float:
    """Since the last use or write, by this machine's clock."""
    return time.time() - max((_mtime(path) for path in network.rglob("*")), default=_mtime(network))


def _mtime(path: Path) -> float:
    try:
        return path.lstat().st_mtime
    except FileNotFoundError:  # deleted meanwhile
        return 0.0
