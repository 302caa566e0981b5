"""Attempts of workers at a job, and the training states that attempts resume from."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.api_models.job_status import JobStatus
from app.finetune.event_data import EventData
from app.finetune.gpus import GpuUse


class ResumeReceipt(EventData, BaseModel):
    """The state that an attempt resumed from, and the work that was lost."""

    from_attempt: int | None = Field(description="The attempt that saved the state; null: started from the beginning.")
    stage: int | None = Field(description="Stage of the state.")
    epoch: int | None = Field(description="Finished epochs of that stage.")
    step: int | None = Field(description="Finished optimizer steps of the next epoch.")
    steps_redone: int = Field(description="Optimizer steps that have to be repeated.")
    seconds_lost: float = Field(description="Seconds of work after the state was saved, which are lost.")
    seconds_waited: float = Field(
        description="Seconds in which nobody worked on the job: from the last sign of work before this attempt to its "
        "start. Until 0.2.0: from the end of the previous attempt, which for a lost worker is the end of its lease."
    )
    reason: str = Field(description="How the previous attempt ended.")


class AttemptView(BaseModel):
    """One claim of a job by a worker."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None = Field(description="null: it is running.")
    outcome: JobStatus | None = Field(description="The job's status when the attempt ended.")
    reason: str | None = Field(description="Why it ended, in words.")
    receipt: ResumeReceipt | None = Field(
        description="The state it resumed from and the work that was lost; null for the first attempt."
    )
    gpu: GpuUse | None = Field(None, description="The GPU that it used; null on a CPU.")


class Attempts(BaseModel):
    """All attempts, oldest first."""

    job_id: str
    attempts: list[AttemptView]


class ResumePointView(BaseModel):
    """The saved training state that the job resumes from after a pause, a retry or a lost worker."""

    attempt: int = Field(description="The attempt that saved it.")
    stage: Literal[0, 1, 2]
    epoch: int = Field(description="Finished epochs of the stage.")
    step: int = Field(description="Finished optimizer steps of the next epoch.")
    steps_done: int = Field(description="Finished optimizer steps of the whole training.")
    progress: float = Field(description="0..1 over the whole job.")
    saved_at: datetime
