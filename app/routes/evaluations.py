"""Evaluations: submit. They are jobs like fine-tunings: look at them, cancel them and so on at /jobs/{id}."""

from fastapi import APIRouter, Response, status

from app.api_models.job import JobView
from app.finetune.dataset import JobWarning
from app.finetune.evaluation_config import EvaluationConfig
from app.inputs.evaluation import check_evaluation_inputs, find_evaluation_inputs
from app.jobs.tables import EVALUATION
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep
from app.routes.submitting import IdempotencyKey, Priority, answer_submission

router = APIRouter(prefix="/evaluations", tags=["evaluations"], responses=PROBLEM_RESPONSES)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": JobView, "description": "The job that this request and Idempotency-Key made before"}},
)
def submit_evaluation(
    config: EvaluationConfig,
    service: ServiceDep,
    response: Response,
    priority: Priority = 0,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Queue an evaluation. When it has succeeded, /jobs/{id}/evaluation has what was measured and /jobs/{id}/report a
    page of it."""
    config = config.in_root(service.settings.datasets_dir)

    def check() -> list[JobWarning]:
        with service.database.reading() as session:
            inputs = find_evaluation_inputs(config, service.settings, session)
        return check_evaluation_inputs(inputs, service.dataset_checks)

    return answer_submission(service, response, config, check, priority, idempotency_key, EVALUATION)
