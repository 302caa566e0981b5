"""Finds files by the names that `errors.printable` shows of them."""

import os
import re
from contextlib import suppress
from pathlib import Path

from app.finetune.errors import printable

_ESCAPED_BYTE = re.compile(r"\\udc([89a-f][0-9a-f])")


def on_disk(root: Path, shown: str) -> Path:
    """Return the path in `root` of a relative path, each name in it written as on the disk or as `printable`."""
    path = root
    for name in Path(shown).parts:
        path = _entry(path, name)
    return path


def _entry(folder: Path, shown: str) -> Path:
    exact = folder / shown
    if "\\" not in shown or os.path.lexists(exact):
        return exact
    # The usual case, without a listing of the folder: no backslash of the name itself looks like an escaped byte.
    undone = folder / _ESCAPED_BYTE.sub(lambda found: chr(0xDC00 + int(found[1], 16)), shown)
    if os.path.lexists(undone):
        return undone
    with suppress(OSError, ValueError):
        return next((entry for entry in folder.iterdir() if printable(entry.name) == shown), exact)
    return exact
