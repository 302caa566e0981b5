"""Attempts of workers at a job."""

from fastapi import APIRouter

from app.api_models.attempts import Attempts
from app.jobs import queries
from app.jobs.attempt_views import view_attempt
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ReadingSessionDep

router = APIRouter(prefix="/jobs/{job_id}/attempts", tags=["jobs"], responses=PROBLEM_RESPONSES)


@router.get("")
def get_attempts(job_id: str, session: ReadingSessionDep) -> Attempts:
    """List all attempts, oldest first: how and why each ended, and the state that it resumed from."""
    queries.get(session, job_id)
    return Attempts(job_id=job_id, attempts=[view_attempt(each) for each in queries.attempts(session, job_id)])
