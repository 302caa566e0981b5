"""What the workers' attempts at a job were and left, as a person sees it."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from app.jobs.resume import ResumeReceipt
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Attempt


class AttemptView(BaseModel):
    """One claim of the job by one worker."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None = Field(description="null: it goes on.")
    outcome: JobStatus | None = Field(description="The job's status once it had ended.")
    reason: str | None = Field(description="Why it ended, in words.")
    receipt: ResumeReceipt | None = Field(description="What it went on from, and what was lost; null for the first.")


class ResumePointView(BaseModel):
    """The saved training state that the job goes on from after a pause, a retry or a loss."""

    attempt: int = Field(description="The attempt that saved it.")
    stage: Literal[0, 1, 2]
    epoch: int = Field(description="Epochs of that stage that are finished.")
    step: int = Field(description="Optimizer steps of the next epoch that are done.")
    steps_done: int = Field(description="Optimizer steps of the whole training that are done.")
    progress: float = Field(description="0..1 over the whole job.")
    saved_at: datetime


def view_attempt(attempt: Attempt) -> AttemptView:
    return AttemptView.model_validate(attempt.model_dump() | {"worker": attempt.worker_id})


def view_resume_point(artifacts: list[Artifact]) -> ResumePointView | None:
    """`artifacts` with the oldest first."""
    points = [artifact.resume_point for artifact in artifacts if artifact.kind == "state"]
    return None if not points else ResumePointView.model_validate(points[-1])
