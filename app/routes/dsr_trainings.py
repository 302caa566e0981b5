"""Trainings of DSR networks: submit. They are jobs like fine-tunings: look at them, pause them and so on at
/jobs/{id}."""

from fastapi import APIRouter, Response, status

from app.api_models.job import JobView
from app.finetune.dataset import JobWarning
from app.finetune.dsr_config import DsrTrainingConfig
from app.inputs.dsr_training import check_dsr_inputs, find_dsr_inputs
from app.jobs.tables import DSR_TRAINING
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep
from app.routes.submitting import IdempotencyKey, Priority, answer_submission

router = APIRouter(prefix="/dsr-trainings", tags=["DSR trainings"], responses=PROBLEM_RESPONSES)


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": JobView, "description": "The job that this request and Idempotency-Key made before"}},
)
def submit_dsr_training(
    config: DsrTrainingConfig,
    service: ServiceDep,
    response: Response,
    priority: Priority = 0,
    idempotency_key: IdempotencyKey = None,
) -> JobView:
    """Queue the training of a DSR network. /jobs/{id}/checkpoint has `dsr.pth` of the best epoch so far; `verdict` says
    in the end what the network brings beside direct feed and bicubic enlargement."""

    def check() -> list[JobWarning]:
        with service.database.reading() as session:
            inputs = find_dsr_inputs(config, service.settings, session)
        return check_dsr_inputs(config, inputs, service.dataset_checks)

    return answer_submission(service, response, config, check, priority, idempotency_key, DSR_TRAINING)
