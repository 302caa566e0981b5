"""Finds the weights file that a config names: the one rule of the service and of the commands."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from app.finetune.errors import printable
from app.finetune.interruption import until_interrupted
from app.finetune.plain_names import WEIGHTS_SUFFIXES
from app.finetune.shown_names import on_disk
from app.inputs.errors import InputUnreadable, OutsideRoots, RootUnreadable, WeightsNotFound


def list_weights(root: Path) -> list[str]:
    """Return the names for `edgeface`, `before` and `dsr`: the weights files in the folder `root` and below.

    Raises RootUnreadable.
    """
    names = (
        Path(folder, name).relative_to(root)
        for folder, _, files in until_interrupted(walk(root))
        for name in files
        if Path(name).suffix in WEIGHTS_SUFFIXES
    )
    return sorted(printable(name.as_posix()) for name in names if not any(part.startswith(".") for part in name.parts))


def walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk a root of the service as `os.walk` does, without folders below it that cannot be listed, and none if it does
    not exist. Raises RootUnreadable."""

    def refuse_root(error: OSError) -> None:
        if error.filename == str(root) and not isinstance(error, FileNotFoundError):
            raise RootUnreadable(root, error.strerror or str(error))

    return os.walk(root, onerror=refuse_root)


def inside(field: str, name: str, root: Path) -> Path:
    """Return the path of a name in `root`, written as on the disk or as `printable`. Raises OutsideRoots."""
    path = on_disk(root, name).resolve()
    if not path.is_relative_to(root.resolve()) or Path(name).is_absolute():
        raise OutsideRoots(field, name, root)
    return path


def mode_of(field: str, name: str, path: Path, root: Path) -> int:
    """Return `st_mode` of the path that a name in `root` means, 0 where there is nothing. Raises InputUnreadable."""
    try:
        return os.stat(path).st_mode  # noqa: PTH116 - as the other calls of os
    except PermissionError as error:
        raise InputUnreadable(field, name, root, error.strerror or str(error)) from None
    except (OSError, ValueError):  # no such name, or none that can be one
        return 0


def find_weights_file(field: str, name: str, root: Path) -> Path:
    """Return the file of this name in the weights folder `root`.

    Raises OutsideRoots, InputUnreadable, RootUnreadable or WeightsNotFound.
    """
    path = inside(field, name, root)
    mode = mode_of(field, name, path, root)
    if mode == 0 or stat.S_ISDIR(mode):
        raise WeightsNotFound(field, name, [root], list_weights(root))
    return path


def find_weights_path(field: str, name: str, root: Path) -> Path:
    """Like `find_weights_file`, at the terminal: `name` may also be any path that exists, which comes first.

    Raises WeightsNotFound.
    """
    given = Path(name).expanduser()
    for path in (given, root / name):
        if os.path.exists(path):  # noqa: PTH110 - likewise; reading it names a folder as such
            return path
    folders = [] if given.is_absolute() else [Path.cwd(), root]
    raise WeightsNotFound(field, name, folders, list_weights(root))
