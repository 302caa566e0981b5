"""Where a training stood when its state was saved, and what the next attempt made of it."""

from typing import Any, Literal

from pydantic import BaseModel, Field


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


class ResumeReceipt(BaseModel):
    """What an attempt went on from, and what was lost since."""

    from_attempt: int | None = Field(description="The attempt that saved the state; null: from the start.")
    stage: int | None = Field(description="Stage of the state.")
    epoch: int | None = Field(description="Epochs of that stage that were finished.")
    step: int | None = Field(description="Optimizer steps of the next epoch that were done.")
    steps_redone: int = Field(description="Optimizer steps that were done before and have to be done again.")
    seconds_lost: float = Field(description="Seconds of work that came after the state and are lost.")
    seconds_waited: float = Field(description="Seconds in which nobody worked on the job.")
    reason: str = Field(description="How the attempt before ended.")
