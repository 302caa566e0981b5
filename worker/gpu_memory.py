"""The memory of a GPU that a job can use, from the sizes of its files, before it starts.

Measured as float32 on edgeface_xxs, _xs, _s_gamma_05 and _base: the tensors that a training step keeps for the backward
pass are 5.6, 10, 14 and 36 MiB per face; the weights are 5, 9, 15 and 73 MB. With less than for a whole batch a
training runs too: it computes smaller parts, and takes longer. The check of a CUDA graph takes about a batch's memory
once more, which is not counted: where that is lacking, the training goes on without a graph.
"""

from pathlib import Path

from app.finetune.config import FinetuneConfig
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.model_export_config import ModelExportConfig
from app.inputs.dataset_check import DatasetCheckInputs
from app.inputs.dataset_import import DatasetImportInputs
from app.inputs.evaluation import EvaluationInputs
from app.inputs.model_export import ModelExportInputs
from app.inputs.training_inputs import TrainingInputs
from worker.gpu.leases import MemoryNeed

_CONSTANT = 3 * 2**29
"""CUDA's context and the workspaces of its libraries, and what is embedded or enlarged at once."""

_COPIES = 8  # with gradients and two moments; a teacher, the initial weights, the exported and an evaluated backbone
_FACE_OF_WEIGHTS = 1.5
_MOST_OF_A_FACE = 40 * 2**20
_DSR_FACE = 64 * 2**20  # enlarged to four times 40 pixels by 64 channels, and embedded


def gpu_memory_for_finetuning(config: FinetuneConfig, inputs: TrainingInputs) -> MemoryNeed:
    weights = _size(inputs.edgeface)
    return _of_batches(weights, config.batch_size, min(_MOST_OF_A_FACE, int(_FACE_OF_WEIGHTS * weights)))


def gpu_memory_for_dsr_training(config: DsrTrainingConfig, inputs: TrainingInputs) -> MemoryNeed:
    return _of_batches(_size(inputs.edgeface), config.batch_size, _DSR_FACE)


def gpu_memory_for_evaluation(_: EvaluationConfig, inputs: EvaluationInputs) -> MemoryNeed:
    needed = _CONSTANT + _COPIES * _size(inputs.edgeface)
    return MemoryNeed(needed, needed)


def gpu_memory_for_dataset_check(_: DatasetCheckConfig, __: DatasetCheckInputs) -> MemoryNeed:
    return MemoryNeed(_CONSTANT, _CONSTANT)


def gpu_memory_for_dataset_import(_: DatasetImportConfig, __: DatasetImportInputs) -> MemoryNeed:
    """It uses no GPU."""
    return MemoryNeed(0, 0)


def gpu_memory_for_model_export(_: ModelExportConfig, __: ModelExportInputs) -> MemoryNeed:
    """It uses no GPU."""
    return MemoryNeed(0, 0)


def _of_batches(weights: int, batch_size: int, face: int) -> MemoryNeed:
    fixed = _CONSTANT + _COPIES * weights
    return MemoryNeed(least=fixed + face, whole=fixed + batch_size * face)


def _size(weights: Path) -> int:
    return weights.stat().st_size
