"""EvaluationConfig: what to evaluate, on whom; the contract between a person's JSON, the job's row and the worker."""

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.finetune.config import BICUBIC, DEVICE_PATTERN, FACE_SIZE, Name
from app.finetune.dataset import TEST_FOLDER, VAL_FOLDER


class EvaluationConfig(BaseModel):
    """A backbone, what to compare it with, and the people it is tried on. Unknown fields are refused.

    Directories and weights are names inside the service's configured roots, or weights that a job made, `job:ID`;
    `edgeface-finetune evaluate`, which runs without the service, takes them as paths.
    """

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        json_schema_extra={"examples": [{"dataset": "orl16", "edgeface": "edgeface_xxs.pt"}]},
    )

    dataset: Name | None = Field(
        None,
        description="A dataset's name: short for eval_dir `NAME/test_processed`, or `NAME/val_processed` where it has "
        "no test part.",
    )
    eval_dir: Name | None = Field(
        None,
        description="Folder with vlr_images/ (the probes) and hr_images/ (the gallery) of people that the backbone was "
        "not trained on. Taken from `dataset` when left out.",
    )
    edgeface: Name = Field(
        "edgeface_xxs.pt",
        description="EdgeFace weights to evaluate: a bare state dict or edgeface_finetuned.pth; or `job:ID`, the best "
        "backbone of a fine-tuning that succeeded.",
    )
    before: Name | None = Field(
        None, description="EdgeFace weights before fine-tuning, to say what the fine-tuning has brought."
    )
    dsr: Name = Field(
        BICUBIC, description="DSR weights that super-resolve the probes, or `bicubic` for plain interpolation alone."
    )
    vlr_size: int | None = Field(
        None,
        ge=4,
        lt=FACE_SIZE,
        description="Side of the VLR faces in pixels; images of another size are resampled to it. "
        "null takes every image at the size it has.",
    )
    tta: bool = Field(
        False, description="Test-time augmentation: the embeddings of a face and of its mirror image are added."
    )
    threshold: float = Field(
        0.35, ge=-1, le=1, description="Cosine at which the guide's accuracy is told, among those of a sweep."
    )
    device: str = Field(
        "auto",
        pattern=DEVICE_PATTERN,
        description="`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.",
    )
    num_workers: int = Field(8, ge=0, le=64, description="Threads that decode images; 0 decodes one by one.")

    @model_validator(mode="after")
    def _a_dataset_is_named(self) -> Self:
        if self.eval_dir is None and self.dataset is None:
            raise ValueError("eval_dir missing: name a dataset, or eval_dir")
        return self

    def in_root(self, root: Path) -> Self:
        """With `eval_dir`, which `dataset` is short for: its test part where `root` has one, else its val part."""
        if self.eval_dir is not None or self.dataset is None:
            return self
        name = self.dataset.rstrip("/")
        has_test = os.path.isdir(root / name / TEST_FOLDER)  # noqa: PTH112 - Path.is_dir raises for a name too long
        return self.model_copy(update={"eval_dir": f"{name}/{TEST_FOLDER if has_test else VAL_FOLDER}"})
