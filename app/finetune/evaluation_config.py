"""EvaluationConfig: what to evaluate, on whom; the contract between a person's JSON, the job's row and the worker."""

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.finetune.config import BICUBIC, DEVICE_PATTERN, FACE_SIZE, Name


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

    dataset: Name | None = Field(None, description="A dataset's name: short for eval_dir `NAME/val_processed`.")
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

    @model_validator(mode="before")
    @classmethod
    def _directory_of_dataset(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(values.get("dataset"), str):
            name = values["dataset"].rstrip("/")
            return {**values, "eval_dir": values.get("eval_dir") or f"{name}/val_processed"}
        return values

    @model_validator(mode="after")
    def _a_dataset_is_named(self) -> Self:
        if self.eval_dir is None:
            raise ValueError("eval_dir missing: name a dataset, or eval_dir")
        return self
