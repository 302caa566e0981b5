"""Checked copies of weights: one safetensors file for each file and family, named by the sha256 of the file.

None of them is needed for ever: the next job that uses the weights makes it again.
"""

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from app.checked_weights.task import Copy
from app.deletion import Freed, delete_file
from app.finetune.atomic import atomic_file
from app.finetune.state_dicts import Weights
from app.finetune.training_errors import DiskFull
from app.isolated.errors import ReadersUnavailable

ABANDONED_SECONDS = 3600.0
_COPY = re.compile(r"[0-9a-f]{64}-(edgeface|dsr)\.safetensors")
_PARTIAL = re.compile(rf"\.{_COPY.pattern}\..+\.partial")


def write_copy(folder: Path, sha256: str, family: Weights, tensors: Mapping[str, npt.NDArray[np.float32]]) -> Copy:
    """Write the copy for the file with this sha256, unless it is there already and whole.

    Raises DiskFull, and ReadersUnavailable where it cannot be written.
    """
    path = folder / f"{sha256}-{family.lower()}.safetensors"
    content = save(dict(tensors))
    copy = Copy(name=path.name, sha256=hashlib.sha256(content).hexdigest())
    if _is_whole(path, copy):
        os.utime(path)
        return copy
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_file(path) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(path) from None
        raise ReadersUnavailable(path, f"it cannot be written ({error.strerror})") from None
    return copy


def clean_copies(folder: Path, keep_seconds: float) -> Freed:
    """Delete copies that no job used for `keep_seconds`, at least an hour: a trainer may be about to open one."""
    freed = Freed()
    with contextlib.suppress(FileNotFoundError):
        for path in list(folder.iterdir()):
            if _COPY.fullmatch(path.name):
                freed += delete_file(path, older_than=max(keep_seconds, ABANDONED_SECONDS))
            elif _PARTIAL.fullmatch(path.name):
                freed += delete_file(path, older_than=ABANDONED_SECONDS)
    return freed


def _is_whole(path: Path, copy: Copy) -> bool:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == copy.sha256
    except OSError:
        return False
