"""Finds and checks the inputs of a job that writes weights as an ONNX file."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.datasets.records import DatasetRecords
from app.finetune.model_export_config import ModelExportConfig
from app.inputs.dataset_checks import CheckedInputs
from app.inputs.names import find_weights
from app.inputs.weights_file import check_edgeface
from app.settings import Settings


@dataclass(frozen=True)
class ModelExportInputs:
    edgeface: Path


def find_model_export_inputs(config: ModelExportConfig, settings: Settings, session: Session) -> ModelExportInputs:
    """Raises the exceptions of `find_weights`."""
    return ModelExportInputs(find_weights("edgeface", "EdgeFace", config.edgeface, settings, session))


def check_model_export(_: ModelExportConfig, inputs: ModelExportInputs, __: DatasetRecords) -> CheckedInputs:
    """Raises WeightsError."""
    return CheckedInputs(check_edgeface(inputs.edgeface))
