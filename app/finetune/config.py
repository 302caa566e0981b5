"""FinetuneConfig: the schema of a fine-tuning job, shared by the API, the job row and the trainer."""

from typing import Literal, Self

from pydantic import ConfigDict, Field, model_validator

from app.finetune.deprecations import with_current_names
from app.finetune.directories import refuse_unnamed_directories, with_directories
from app.finetune.job_config import NAME_PATTERN as NAME_PATTERN
from app.finetune.job_config import JobConfig, Leaks
from app.finetune.job_config import Name as Name
from app.finetune.recipes import Recipe, with_recipe

FACE_SIZE = 112
"""Side of EdgeFace's square input, in pixels."""

FACES_OF_EACH = 8
"""Images generated for each synthetic identity."""

BICUBIC = "bicubic"
"""Value of `dsr` that selects bicubic interpolation instead of a DSR network."""

OF_JOB = "job:"
"""Prefix of a weights name that refers to a job's result: `job:ID`."""

LONGEST_PATTERN = 500
"""Most characters of a subject pattern."""

DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d{1,2})?)$"


class FinetuneConfig(JobConfig):
    """Configuration of a fine-tuning. `recipe` selects the defaults. Unknown fields are refused.

    Directories and weights are names inside the service's configured roots; weights may also be `job:ID`, the result
    of a job. `edgeface-finetune train` runs without the service and takes paths.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"dataset": "orl16", "stage2_epochs": 20}]})

    recipe: Recipe = Field(
        "guide",
        description="Which preset fills the fields you leave out: `guide`, or `recommended`, the values that "
        "recognised unseen people best. Each field has the same meaning in both.",
    )
    dataset: Name | None = Field(
        None,
        description="Dataset name. Sets train_dir to `NAME/train_processed` and val_dir to `NAME/val_processed`.",
    )
    train_dir: Name | None = Field(
        None, description="Training folder with vlr_images/ (and hr_images/). Default: from `dataset`."
    )
    val_dir: Name | None = Field(
        None, description="Validation folder with vlr_images/ and hr_images/. Default: from `dataset`."
    )
    allowed_leaks: Leaks = Field(
        (),
        description="Leaks to accept instead of refusing the job: a file name (a photo in both train and val, or under "
        "two subjects), `a=b` (subjects a and b look like one person), or `*` for all.",
    )
    edgeface: Name = Field(
        "edgeface_xxs.pt",
        description="Initial EdgeFace weights. `job:ID` selects the best backbone of a succeeded fine-tuning. The "
        "variant (xxs, xs, xs_gamma_06, s_gamma_05, base) is inferred from the tensors.",
    )
    dsr: Name = Field(
        BICUBIC,
        description="DSR (super-resolution) weights for the VLR faces, or `bicubic` for antialiased interpolation.",
    )
    vlr_size: int | None = Field(
        None,
        ge=4,
        lt=FACE_SIZE,
        description="Side of the VLR faces in pixels. Images of another size are resampled to it. null keeps each "
        "image's own size.",
    )
    device: str = Field(
        "auto",
        max_length=64,
        pattern=DEVICE_PATTERN,
        description="`auto` (a GPU if available, else the CPU), `cpu`, `cuda` or `cuda:N`.",
    )
    mixed_precision: Literal["auto", "bf16", "fp16", "off"] = Field(
        "auto",
        description="Type of the backbone's Linear layers in training, and of the GELU between two of them. `auto` on "
        "a GPU: bf16 if supported, else fp16 with loss scaling. `auto` on a CPU: bf16 if the CPU has AMX or "
        "AVX512-BF16, else float32. `off`, and `fp16` on a CPU: float32. All else is IEEE float32, never TF32: "
        "weights, losses, the optimizer, validation and evaluation. But a DSR network on a GPU enlarges train's faces "
        "in fp16, unless `off`, if no value of the first of them changes by more than 1 of 255.",
    )
    stage1_epochs: int = Field(
        5, ge=0, le=1000, description="Epochs of stage 1, which trains the ArcFace head with the backbone frozen."
    )
    stage2_epochs: int = Field(20, ge=1, le=1000, description="Epochs of stage 2, which trains backbone and head.")
    batch_size: int = Field(32, ge=2, le=4096, description="Images per optimizer step.")
    num_workers: int = Field(
        8, ge=0, le=64, description="Threads that decode images during preparation. 0 decodes one at a time."
    )
    head_lr: float = Field(1e-3, gt=0, le=1, description="Learning rate of the ArcFace head in stage 1.")
    backbone_lr: float = Field(5e-6, gt=0, le=1, description="Learning rate of the backbone in stage 2.")
    head_lr_stage2: float = Field(
        5e-5,
        gt=0,
        le=1,
        description="Learning rate in stage 2 of the ArcFace head, or of the prototypes with synthetic identities.",
    )
    arcface_scale: float = Field(64.0, gt=0, le=1024, description="ArcFace scale s: the logits are s * cos(theta).")
    arcface_margin: float = Field(
        0.5, ge=0, lt=1.5707963267948966, description="ArcFace angular margin m in radians, added to the target angle."
    )
    weight_decay: float = Field(5e-5, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    label_smoothing: float = Field(
        0.1, ge=0, lt=1, description="Share of the target probability spread over all subjects, in [0, 1)."
    )
    early_stop_patience: int = Field(
        8,
        ge=0,
        le=1000,
        description="Stage 2 ends after this many validations without improvement. 0 disables early stopping.",
    )
    val_interval: int = Field(
        1, ge=1, le=1000, description="Epochs between validations. The last epoch of a stage is always validated."
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Share of the steps of stage 2 in which the learning rates rise from zero."
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Which epoch of stage 2 is exported: `best` on val, or the `last` validated. `last` disables early "
        "stopping. Prefer it if val has few people: their scores vary by chance.",
    )
    interpolation: float = Field(
        1.0,
        gt=0,
        le=1,
        description="The validated and exported weights are initial + interpolation * (trained - initial), as in "
        "WiSE-FT. Below 1 the model learns less, and loses less on cameras that are not in train.",
    )
    synthetic_identities: int = Field(
        0,
        ge=0,
        le=65536,
        description="Number of synthetic identities that stage 2 learns, generated from train's HR images, 8 faces "
        "each. Stage 2 then distils the initial backbone's embeddings of large faces into small ones. 0: stage 2 "
        "learns train's subjects with ArcFace.",
    )
    vlr_share: float = Field(
        0.1, ge=0, le=1, description="With synthetic identities: share of faces that are the dataset's own VLR images."
    )
    hr_share: float = Field(
        0.2, ge=0, le=1, description="With synthetic identities: share of faces kept at full size (112 px)."
    )
    smallest_view: int = Field(
        8,
        ge=4,
        lt=FACE_SIZE,
        description="With synthetic identities: side in pixels of the smallest reduced faces. Sizes up to largest_view "
        "are drawn log-uniformly.",
    )
    largest_view: int = Field(
        32, ge=4, lt=FACE_SIZE, description="With synthetic identities: side in pixels of the largest reduced faces."
    )
    contrastive_temperature: float = Field(
        0.05,
        gt=0,
        le=10,
        description="With synthetic identities: temperature of the contrastive loss. Smaller values weight the most "
        "similar identities more.",
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Random seed. A CPU run repeats bit for bit.")

    @property
    def summary(self) -> str:
        return str(self.train_dir)

    @property
    def needs_train_hr(self) -> bool:
        """Whether each training VLR image needs its HR image."""
        return self.synthetic_identities > 0

    @property
    def can_stop_early(self) -> bool:
        """Whether stage 2 may end before its last epoch: early stopping is on, and there are more validations than its
        patience."""
        validations = -(-self.stage2_epochs // self.val_interval)
        return self.keep == "best" and 0 < self.early_stop_patience < validations - 1

    @model_validator(mode="before")
    @classmethod
    def _fill_fields(cls, values: object) -> object:
        return with_directories(with_recipe(with_current_names(values))) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _a_dataset_is_named(self) -> Self:
        refuse_unnamed_directories(train_dir=self.train_dir, val_dir=self.val_dir)
        return self

    @model_validator(mode="after")
    def _shares_and_sizes_fit(self) -> Self:
        if self.vlr_share + self.hr_share > 1 + 1e-9:
            raise ValueError(f"vlr_share {self.vlr_share} and hr_share {self.hr_share} sum to more than 1")
        if self.smallest_view > self.largest_view:
            raise ValueError(f"smallest_view {self.smallest_view} is larger than largest_view {self.largest_view}")
        return self
