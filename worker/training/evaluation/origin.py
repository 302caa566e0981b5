"""What an evaluation was made from."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from app.finetune.errors import printable
from app.finetune.evaluation import Origin, UsedFile
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.job_config import JobConfig
from app.finetune.recipes import changed_fields
from worker.training.runtime.control import Control
from worker.training.storage.digests import sha256_of_weights
from worker.training.storage.paths import EvaluationFiles


def origin_of(config: EvaluationConfig, files: EvaluationFiles, control: Control) -> Origin:
    """Hash the weights. Raises OSError and StopRequested."""
    paths: dict[Literal["edgeface", "before", "dsr"], tuple[str | None, Path | None]] = {
        "edgeface": (config.edgeface, files.edgeface),
        "before": (config.before, files.before),
        "dsr": (config.dsr, files.dsr),
    }
    return Origin(
        job=files.job,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=version("edgeface-finetune"),
        weights={
            role: UsedFile(name=printable(name), sha256=sha256_of_weights(path, files.copies, control))
            for role, (name, path) in paths.items()
            if path is not None
        },
        **described(config),
    )


def described(config: JobConfig) -> dict[str, Any]:
    """The fields of an `Origin` that describe the config of a job."""
    return {"config": _printable(config.model_dump()), "changed": _printable(changed_fields(config))}


def _printable(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON can hold it."""
    return {name: _as_json(value) for name, value in values.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    return [_as_json(each) for each in value] if isinstance(value, list | tuple) else value
