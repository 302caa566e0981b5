"""Comparisons of two jobs."""

from fastapi import APIRouter
from pydantic import ValidationError

from app.api_models.comparison import JobComparison
from app.finetune.evaluation import Evaluation
from app.jobs.comparison_errors import NotComparable
from app.jobs.comparisons import compare_evaluations
from app.jobs.reports import find_measured
from app.problems import PROBLEM_RESPONSES
from app.routes.stored_files import Downloads, DownloadsDep

router = APIRouter(prefix="/jobs/{job_id}/comparisons", tags=["reports"], responses=PROBLEM_RESPONSES)


@router.get("/{other}")
def get_comparison(job_id: str, other: str, downloads: DownloadsDep) -> JobComparison:
    """Compare the recognition by the results of two jobs that were evaluated on the same people, such as two
    fine-tunings with one val, or two evaluations with one dataset.

    `difference` has the paired interval, which is narrower than the two intervals suggest: they share their people.
    """
    return compare_evaluations(job_id, _read(downloads, job_id), other, _read(downloads, other))


def _read(downloads: Downloads, job_id: str) -> Evaluation:
    content = downloads.read(lambda session: find_measured(session, job_id, "evaluation"))
    try:
        return Evaluation.model_validate_json(content)
    except ValidationError:
        raise NotComparable(f"that of job {job_id} is of another version") from None
