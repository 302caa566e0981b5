"""Checks weights files in limited children, each file once: an unchanged file keeps its result."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cachetools import LRUCache

from app.checked_weights.task import CHECK, CHECK_AND_KEEP, CheckRequest, CheckResult
from app.finetune.interruption import check_interrupted, is_interrupted
from app.finetune.state_dicts import Weights
from app.isolated.errors import ReadCancelled
from app.isolated.run import run

_KNOWN = 256
_SETTLED_SECONDS = 2.0
"""A file that changed more recently may change again within one tick of its clock."""

_lock = threading.Lock()


@dataclass(frozen=True)
class _Identity:
    """A file with a certain content."""

    path: Path
    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int
    family: Weights


_known: LRUCache[_Identity, CheckResult] = LRUCache(_KNOWN)


def check_weights(path: Path, family: Weights) -> CheckResult:
    """Check that the file has a network of the family that can be computed with.

    Raises WeightsError, the errors of `app.isolated.run.run`, and Interrupted where nobody wants the result.
    """
    identity = _identity(path, family)
    if identity is not None:
        with _lock:
            if (known := _known.get(identity)) is not None:
                return known
    try:
        result = run(CHECK, CheckRequest(path=path, family=family), cancelled=is_interrupted)
    except ReadCancelled:
        check_interrupted()
        raise
    if identity is not None and identity == _identity(path, family):
        with _lock:
            _known[identity] = result
    return result


def check_and_keep(path: Path, family: Weights, folder: Path) -> CheckResult:
    """As `check_weights`, and keep a copy of the network in the folder: `copy_` of the result, None as `network` is.

    Raises also OSError, where the copy cannot be written.
    """
    return run(CHECK_AND_KEEP, CheckRequest(path=path, family=family, keep_in=folder))


def _identity(path: Path, family: Weights) -> _Identity | None:
    """None where the file changed just now, or is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    if time.time() - max(found.st_mtime, found.st_ctime) < _SETTLED_SECONDS:
        return None
    return _Identity(path, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, family)
