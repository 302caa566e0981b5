"""Saved training states, from which an attempt resumes."""

from pydantic import BaseModel

from app.finetune.checkpoint import Checkpoint, Stage, WrittenFile


class ResumePoint(BaseModel):
    """A saved state: after `epoch` epochs of `stage` and `step` optimizer steps of the next one. `steps_done` counts
    the steps of the whole training, `progress` is in [0, 1]. `checkpoint` was the job's best one then."""

    attempt: int
    stage: Stage
    epoch: int
    step: int
    steps_done: int
    progress: float
    saved_at: float
    state: WrittenFile
    checkpoint: Checkpoint | None = None
