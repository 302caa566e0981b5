"""The Python client of an edgeface-finetune service.

    from edgeface_finetune import Client

    with Client("http://localhost:8000") as client:
        job = client.submit({"dataset": "orl16"})

The name is the same in the service's distribution and in the small one, edgeface-finetune-client.
"""

from app.api_models.events import EventView
from app.api_models.job import JobView
from app.api_models.job_status import JobStatus
from app.client import (
    ApiError,
    ApiUnavailable,
    Client,
    DownloadDamaged,
    EstimateFailed,
    ExportFailed,
    GatewayUnavailable,
)
from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import FormerNameWarning
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation import Evaluation
from app.finetune.evaluation_config import EvaluationConfig

__all__ = [
    "ApiError",
    "ApiUnavailable",
    "Client",
    "DownloadDamaged",
    "DsrTrainingConfig",
    "EstimateFailed",
    "Evaluation",
    "EvaluationConfig",
    "EventView",
    "ExportFailed",
    "FinetuneConfig",
    "FormerNameWarning",
    "GatewayUnavailable",
    "JobStatus",
    "JobView",
]
