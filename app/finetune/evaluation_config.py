"""EvaluationConfig: the schema of an evaluation, shared by the API, the job row and the worker."""

import os
from pathlib import Path
from typing import Self

from pydantic import ConfigDict, Field, model_validator

from app.finetune.config import BICUBIC, DEVICE_PATTERN, FACE_SIZE, Name
from app.finetune.dataset_folders import TEST_FOLDER, VAL_FOLDER
from app.finetune.job_config import JobConfig


class EvaluationConfig(JobConfig):
    """Configuration of an evaluation: a backbone, its baseline and a dataset. Unknown fields are refused.

    Directories and weights are names inside the service's configured roots; weights may also be `job:ID`, the result
    of a job. `edgeface-finetune evaluate` runs without the service and takes paths.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"dataset": "orl16", "edgeface": "edgeface_xxs.pt"}]})

    dataset: Name | None = Field(
        None,
        description="Dataset name. Sets eval_dir to `NAME/test_processed`, or to `NAME/val_processed` if it has no "
        "test split.",
    )
    eval_dir: Name | None = Field(
        None,
        description="Folder with vlr_images/ (the probes) and hr_images/ (the gallery) of people that the backbone was "
        "not trained on. Default: from `dataset`.",
    )
    edgeface: Name = Field(
        "edgeface_xxs.pt",
        description="EdgeFace weights to evaluate: a bare state dict or edgeface_finetuned.pth. `job:ID` selects the "
        "best backbone of a succeeded fine-tuning.",
    )
    before: Name | None = Field(None, description="EdgeFace weights before fine-tuning, to compare `edgeface` with.")
    dsr: Name = Field(
        BICUBIC, description="DSR (super-resolution) weights for the probes, or `bicubic` for interpolation."
    )
    vlr_size: int | None = Field(
        None,
        ge=4,
        lt=FACE_SIZE,
        description="Side of the VLR faces in pixels. Images of another size are resampled to it. null keeps each "
        "image's own size.",
    )
    tta: bool = Field(
        False, description="Test-time augmentation: add the embeddings of a face and of its mirror image."
    )
    threshold: float = Field(
        0.35,
        ge=-1,
        le=1,
        description="Cosine threshold at which the guide's accuracy is reported, beside a sweep of others.",
    )
    device: str = Field(
        "auto",
        max_length=64,
        pattern=DEVICE_PATTERN,
        description="`auto` (a GPU if available, else the CPU), `cpu`, `cuda` or `cuda:N`.",
    )
    num_workers: int = Field(8, ge=0, le=64, description="Threads that decode images. 0 decodes one at a time.")

    @property
    def summary(self) -> str:
        return f"evaluation of {self.edgeface} on {self.eval_dir}"

    @model_validator(mode="after")
    def _a_dataset_is_named(self) -> Self:
        if self.eval_dir is None and self.dataset is None:
            raise ValueError("eval_dir missing: name a dataset, or eval_dir")
        return self

    def in_root(self, root: Path) -> Self:
        """Return a copy with `eval_dir` set from `dataset`: its test split if `root` has one, else its val split."""
        if self.eval_dir is not None or self.dataset is None:
            return self
        name = self.dataset.rstrip("/")
        has_test = os.path.isdir(root / name / TEST_FOLDER)  # noqa: PTH112 - Path.is_dir raises for a name too long
        return self.model_copy(update={"eval_dir": f"{name}/{TEST_FOLDER if has_test else VAL_FOLDER}"})

    def as_requested(self) -> Self:
        """Without the `eval_dir` that `dataset` stands for: whether a dataset has a test part may change."""
        name = (self.dataset or "").rstrip("/")
        filled = self.dataset is not None and self.eval_dir in (f"{name}/{TEST_FOLDER}", f"{name}/{VAL_FOLDER}")
        return self.model_copy(update={"eval_dir": None}) if filled else self
