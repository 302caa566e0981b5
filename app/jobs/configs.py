"""The contracts that a job's config can be."""

from typing import Any

from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ConfigError
from app.finetune.evaluation_config import EvaluationConfig
from app.jobs.tables import DSR_TRAINING, EVALUATION, KNOWN_KINDS

JobConfig = FinetuneConfig | EvaluationConfig | DsrTrainingConfig

_OF_KIND: dict[str, type[JobConfig]] = {EVALUATION: EvaluationConfig, DSR_TRAINING: DsrTrainingConfig}

ADDED_LATER = frozenset(
    {
        "allowed_leaks",
        "recipe",
        "warmup",
        "keep",
        "interpolation",
        "synthetic_identities",
        "vlr_share",
        "hr_share",
        "smallest_view",
        "largest_view",
        "contrastive_temperature",
    }
)
"""Fields that a version after 0.1.0 added. A request that does not set them is the request that it was before."""


def config_of(kind: str, values: dict[str, Any]) -> JobConfig:
    """Raises pydantic's ValidationError where this version does not take it, ConfigError where it does not know the
    kind."""
    if kind not in KNOWN_KINDS:
        raise ConfigError(
            f"the job is of the kind {kind!r}, which this version does not know",
            "it waits for the API and the workers of a later version",
        )
    return _OF_KIND.get(kind, FinetuneConfig).model_validate(values)
