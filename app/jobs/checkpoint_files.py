"""The files that make up a checkpoint."""

from collections.abc import Mapping
from typing import Any

from app.jobs.resume import StoredFile

KINDS = ("full", "backbone")
"""`full` is the result itself; a DSR network is that alone."""


def kinds_of(checkpoint: Mapping[str, Any]) -> list[str]:
    """Those of KINDS that it has."""
    return [kind for kind in KINDS if checkpoint.get(kind) is not None]


def checkpoint_files(checkpoint: Mapping[str, Any] | None) -> list[StoredFile]:
    """The files of a job's, a state's or an event's checkpoint."""
    return [] if checkpoint is None else [StoredFile.model_validate(checkpoint[kind]) for kind in kinds_of(checkpoint)]
