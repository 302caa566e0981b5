"""The two contracts that a job's config can be."""

from typing import Any

from app.finetune.config import FinetuneConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.jobs.tables import EVALUATION

JobConfig = FinetuneConfig | EvaluationConfig


def config_of(kind: str, values: dict[str, Any]) -> JobConfig:
    """Raises pydantic's ValidationError where this version does not take it."""
    return (EvaluationConfig if kind == EVALUATION else FinetuneConfig).model_validate(values)
