"""Checks the weights of a job or a command once more, and keeps the copies that its trainer opens."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from app.checked_weights.check import check_and_keep
from app.checked_weights.task import CheckRequest
from app.finetune.checked_copy import CheckedCopy
from app.finetune.job_config import JobConfig
from app.finetune.job_kinds import KINDS
from app.finetune.job_warning import JobWarning
from app.finetune.state_dicts import Weights
from app.isolated.run import run
from worker.old_weights import CHECK_OLD


def named_weights(config: JobConfig, inputs: Any) -> dict[Path, Weights]:
    """The weights files among the inputs of a job with this config, and their families."""
    families = next(kind.weights for kind in KINDS.values() if kind.config is type(config))
    paths = {field: getattr(inputs, field) for field in families}
    return {path: families[field] for field, path in paths.items() if path is not None}


def keep_copies(
    weights: Mapping[Path, Weights], folder: Path, on_warning: Callable[[JobWarning], None] = lambda _: None
) -> dict[Path, CheckedCopy]:
    """Check each file in a limited child, and keep a copy of its network in the folder.

    Raises WeightsError, the errors of app/isolated/errors.py, and OSError where a copy cannot be written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    copies = {}
    for path, family in weights.items():
        result = check_and_keep(path, family, folder)
        if result.network is None:
            result = run(CHECK_OLD, CheckRequest(path=path, family=family, keep_in=folder))
        for warning in result.warnings:
            on_warning(warning)
        assert result.copy_ is not None  # noqa: S101 - both tasks keep one
        copies[path] = CheckedCopy(folder / result.copy_.name, result.copy_.sha256, path, result.sha256)
    return copies
