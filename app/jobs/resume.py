"""Where a training stood when its state was saved, and what the next attempt made of it."""

from typing import Any, Literal

from pydantic import BaseModel


class StoredFile(BaseModel):
    """A whole file: `key` is its path relative to the artifacts' root, `size` in bytes."""

    key: str
    size: int
    sha256: str


class ResumePoint(BaseModel):
    """A saved state. `epoch` epochs of `stage` were finished and `step` optimizer steps of the next done; `steps_done`
    counts the steps of the whole training, `progress` is 0..1. `checkpoint` is the job's best one at that moment."""

    attempt: int
    stage: Literal[0, 1, 2]
    epoch: int
    step: int
    steps_done: int
    progress: float
    saved_at: float
    state: StoredFile
    checkpoint: dict[str, Any] | None = None
