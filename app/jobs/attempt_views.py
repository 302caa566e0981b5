"""Views of the attempts at a job and of the state it would resume from."""

from app.api_models.attempts import AttemptView, ResumePointView
from app.jobs.tables import Artifact, Attempt


def view_attempt(attempt: Attempt) -> AttemptView:
    return AttemptView.model_validate(attempt.model_dump() | {"worker": attempt.worker_id})


def view_resume_point(artifacts: list[Artifact]) -> ResumePointView | None:
    """Return the state that the job would resume from. `artifacts` are sorted, oldest first."""
    points = [artifact.resume_point for artifact in artifacts if artifact.kind == "state"]
    return None if not points or points[-1] is None else ResumePointView.model_validate(points[-1].model_dump())
