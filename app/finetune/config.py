"""FinetuneConfig: the one contract between a person's JSON, the job's row and the trainer."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.finetune.directories import refuse_unnamed_directories, with_directories
from app.finetune.recipes import Recipe, with_recipe

FACE_SIZE = 112
"""Side of the square face EdgeFace takes, in pixels."""

FACES_OF_EACH = 8
"""Invented person."""

BICUBIC = "bicubic"
"""The value of `dsr` that enlarges by interpolation instead of a network."""

OF_JOB = "job:"
"""What the name of weights begins with that a job made: `job:ID`."""

Name = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f]+$")]
"""Of a folder or a weights file."""

DEVICE_PATTERN = r"^(auto|cpu|cuda(:\d{1,2})?)$"


class FinetuneConfig(BaseModel):
    """What to fine-tune, on what, and how. Names and defaults are the guide's, or those of the `recipe` named; unknown
    fields are refused.

    Directories and weights are names inside the service's configured roots, or weights that a job made, `job:ID`;
    `edgeface-finetune train`, which runs without the service, takes them as paths.
    """

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        json_schema_extra={"examples": [{"dataset": "orl16", "stage2_epochs": 20}]},
    )

    recipe: Recipe = Field(
        "guide",
        description="Whose defaults the fields have that are not set: the guide's, or those found best on people that "
        "no training saw. A field means the same in both.",
    )
    dataset: Name | None = Field(
        None,
        description="A dataset's name: short for train_dir `NAME/train_processed` and val_dir `NAME/val_processed`.",
    )
    train_dir: Name | None = Field(
        None, description="Folder with vlr_images/ (and hr_images/) to train on. Taken from `dataset` when left out."
    )
    val_dir: Name | None = Field(
        None, description="Folder with vlr_images/ and hr_images/ to validate on. Taken from `dataset` when left out."
    )
    allowed_leaks: tuple[Name, ...] = Field(
        (),
        description="Leaks that do not stop the job: a file name (a photo that is in train and val, or under two "
        "subjects), `a=b` (subjects a and b, who look like one person), or `*` for all.",
    )
    edgeface: Name = Field(
        "edgeface_xxs.pt",
        description="EdgeFace weights to start from; `job:ID`: the best backbone of a fine-tuning that succeeded. The "
        "variant (xxs, xs, xs_gamma_06, s_gamma_05, base) is recognised from the tensors.",
    )
    dsr: Name = Field(
        BICUBIC,
        description="DSR weights that super-resolve the VLR faces, or `bicubic` for plain antialiased interpolation.",
    )
    vlr_size: int | None = Field(
        None,
        ge=4,
        lt=FACE_SIZE,
        description="Side of the VLR faces in pixels; images of another size are resampled to it. "
        "null takes every image at the size it has.",
    )
    device: str = Field(
        "auto",
        pattern=DEVICE_PATTERN,
        description="`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.",
    )
    mixed_precision: Literal["auto", "bf16", "fp16", "off"] = Field(
        "auto",
        description="Autocast. On a GPU `auto` is bf16 where the GPU has it, else fp16 with loss scaling; on a CPU "
        "bf16 where it multiplies that itself (AMX, AVX512-BF16), and for matrix products alone; else float32. "
        "Weights, losses and every validation are float32 always.",
    )
    stage1_epochs: int = Field(
        5, ge=0, le=1000, description="Epochs of stage 1: the backbone is frozen, only the ArcFace head learns."
    )
    stage2_epochs: int = Field(20, ge=1, le=1000, description="Epochs of stage 2: backbone and head learn.")
    batch_size: int = Field(32, ge=2, le=4096, description="Images per optimizer step.")
    num_workers: int = Field(
        8, ge=0, le=64, description="Threads that decode images while the dataset is prepared; 0 decodes one by one."
    )
    head_lr: float = Field(1e-3, gt=0, le=1, description="Learning rate of the ArcFace head in stage 1.")
    backbone_lr: float = Field(5e-6, gt=0, le=1, description="Learning rate of the backbone in stage 2.")
    head_lr_stage2: float = Field(
        5e-5,
        gt=0,
        le=1,
        description="Learning rate of the ArcFace head in stage 2; with invented people, of what is learned of them.",
    )
    arcface_scale: float = Field(64.0, gt=0, le=1024, description="ArcFace scale s: logits are s * cos(theta).")
    arcface_margin: float = Field(
        0.5, ge=0, lt=1.5707963267948966, description="ArcFace angular margin m in radians, added to the target angle."
    )
    weight_decay: float = Field(5e-5, ge=0, le=1, description="AdamW's decoupled weight decay.")
    label_smoothing: float = Field(0.1, ge=0, lt=1, description="Share of the target spread over all subjects.")
    early_stop_patience: int = Field(
        8, ge=0, le=1000, description="Stage 2 ends after this many validations without a better one; 0: never early."
    )
    val_interval: int = Field(
        1, ge=1, le=1000, description="Validate every this many epochs, and always after a stage's last."
    )
    warmup: float = Field(
        0.0, ge=0, lt=1, description="Share of stage 2's steps in which its learning rates rise from zero."
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Whose checkpoint is handed out: the epoch's of stage 2 that val finds best, or the last validated "
        "one's, and then stage 2 never ends early. A val of few people says little.",
    )
    interpolation: float = Field(
        1.0,
        gt=0,
        le=1,
        description="How far the weights that are handed out, and validated, lie on the way from those given to those "
        "trained. Below 1 less is learned, and less lost on cameras that train does not show (WiSE-FT).",
    )
    invented_people: int = Field(
        0,
        ge=0,
        le=65536,
        description="How many people are invented for stage 2 from train's HR images, 8 faces of each: it then learns "
        "to see in small faces what the untouched backbone sees in large ones. 0: stage 2 learns train's subjects, by "
        "ArcFace.",
    )
    vlr_share: float = Field(
        0.1, ge=0, le=1, description="With invented people: the share of faces that are VLR images as given."
    )
    hr_share: float = Field(0.2, ge=0, le=1, description="With invented people: the share of faces left large.")
    smallest_view: int = Field(
        8,
        ge=4,
        lt=FACE_SIZE,
        description="With invented people: side in pixels of their smallest faces. Each octave up to the largest is as "
        "frequent.",
    )
    largest_view: int = Field(
        32, ge=4, lt=FACE_SIZE, description="With invented people: side in pixels of their largest reduced faces."
    )
    contrastive_temperature: float = Field(
        0.05,
        gt=0,
        le=10,
        description="With invented people: the smaller, the more a face is told apart from the most similar people "
        "alone.",
    )
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of everything random. A CPU run repeats exactly.")

    @property
    def needs_train_hr(self) -> bool:
        """Whether each VLR image to train on needs its HR image."""
        return self.invented_people > 0

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_recipe(cls, values: object) -> object:
        return with_recipe(values) if isinstance(values, dict) else values

    @model_validator(mode="before")
    @classmethod
    def _directories_of_dataset(cls, values: object) -> object:
        return with_directories(values)

    @model_validator(mode="after")
    def _a_dataset_is_named(self) -> Self:
        refuse_unnamed_directories(train_dir=self.train_dir, val_dir=self.val_dir)
        return self

    @model_validator(mode="after")
    def _shares_and_sizes_fit(self) -> Self:
        if self.vlr_share + self.hr_share > 1 + 1e-9:
            raise ValueError(f"vlr_share {self.vlr_share} and hr_share {self.hr_share} are more than 1 together")
        if self.smallest_view > self.largest_view:
            raise ValueError(f"smallest_view {self.smallest_view} is larger than largest_view {self.largest_view}")
        return self
