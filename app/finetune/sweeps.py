"""Sweeps: the configs of all combinations of some fields' values."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from app.finetune.config import FinetuneConfig
from app.finetune.job_config import JobConfig

MOST_JOBS = 200
"""Jobs of one request."""

SEED = "seed"
"""Jobs that differ in this field alone repeat one setting."""


def combinations(sweep: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return every combination, the last field varying fastest."""
    return [dict(zip(sweep, values, strict=True)) for values in itertools.product(*sweep.values())]


def varied_fields(configs: Sequence[JobConfig]) -> list[str]:
    """Return the fields of fine-tunings, besides the seed, in which the configs differ."""
    return [
        field
        for field in FinetuneConfig.model_fields
        if field != SEED and len({str(getattr(config, field)) for config in configs}) > 1
    ]


def in_words(values: Mapping[str, Any]) -> str:
    """Return the values as the name of a job, as in `backbone_lr=0.0001 seed=1`."""
    shown = {field: f"{value:g}" if isinstance(value, float) else str(value) for field, value in values.items()}
    text = " ".join(f"{field}={value}" for field, value in shown.items())
    return "".join(each if each.isprintable() else " " for each in text)
