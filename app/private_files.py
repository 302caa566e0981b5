"""What the service writes shows faces: only its own user may read it.

Every process of the service makes files of mode 0600 and folders of mode 0700. A folder from before that rule is mended
once: a folder of mode 0700 lets nobody in, whatever the modes of what is in it.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from app.settings import Settings

_log = logging.getLogger(__name__)

UMASK = 0o077


def make_private_files() -> None:
    """Let this process, and those that it starts, make files that only its user may read."""
    os.umask(UMASK)


def mend_modes(settings: Settings) -> None:
    """Take the folders of the service from other users. Those that people fill, datasets_dir and weights_dir, stay as
    they are, also in VAR_DIR. Safe to interrupt, and in several processes at once."""
    kept = {settings.datasets_dir, settings.weights_dir}
    for folder in (settings.artifacts_dir, settings.prepared_dir, settings.uploads_dir, settings.var_dir):
        if folder.is_dir() and _is_open(folder.stat()):
            count = sum(_close(path) for path in _below(folder, kept))
            _close(folder)  # last: a start after an interrupted one does it all again
            if count:
                _log.info("took %d files and folders in %s from other users", count, folder)


def _below(folder: Path, kept: set[Path]) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):  # follows no link
        folders[:] = [name for name in folders if Path(where, name) not in kept]
        yield from (Path(where, name) for name in (*folders, *files))


def _close(path: Path) -> bool:
    """Return whether others could use it before."""
    try:
        found = path.lstat()
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)) or not _is_open(found):
            return False
        path.chmod(stat.S_IMODE(found.st_mode) & ~UMASK)
    except FileNotFoundError:
        return False
    except PermissionError:
        _log.warning("%s belongs to another user: its mode stays", path)
        return False
    return True


def _is_open(found: os.stat_result) -> bool:
    return bool(stat.S_IMODE(found.st_mode) & UMASK)
