"""DsrTrainingConfig: how to train a DSR network; the contract between a person's JSON, the job's row and the worker."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.finetune.architectures import DsrLayout
from app.finetune.config import DEVICE_PATTERN, FACE_SIZE, Name
from app.finetune.directories import refuse_unnamed_directories, with_directories

DEFAULT_LAYOUT = DsrLayout(channels=32, blocks=4, factors=(2, 4), prelu_parameters=1)
"""Of a network that begins anew: a CPU trains it in minutes. The guide's has 64 channels, 8 blocks, factors 2 and 5."""

LARGEST_OUTPUT = 640
"""Side in pixels that no network may enlarge a face to."""

_VlrSize = Annotated[int, Field(ge=4, lt=FACE_SIZE)]
_Factor = Annotated[int, Field(ge=2, le=8)]
_Probability = Annotated[float, Field(ge=0, le=1)]


class DsrTrainingConfig(BaseModel):
    """What to train a DSR network on, and how. HR images alone are needed: the VLR ones are made of them. Unknown
    fields are refused.

    Directories and weights are names inside the service's configured roots; `edgeface-finetune dsr-train`, which runs
    without the service, takes them as paths.
    """

    model_config = ConfigDict(
        extra="forbid",
        allow_inf_nan=False,
        frozen=True,
        json_schema_extra={"examples": [{"dataset": "orl16", "vlr_sizes": [12, 16]}]},
    )

    dataset: Name | None = Field(
        None,
        description="A dataset's name: short for train_dir `NAME/train_processed` and val_dir `NAME/val_processed`.",
    )
    train_dir: Name | None = Field(
        None, description="Folder with hr_images/ to learn from. Taken from `dataset` when left out."
    )
    val_dir: Name | None = Field(
        None,
        description="Folder with hr_images/ of other people, to judge by. Taken from `dataset` when left out.",
    )
    allowed_leaks: tuple[Name, ...] = Field(
        (),
        description="Leaks that do not stop the job: a file name (a photo that is in train and val, or under two "
        "subjects), `a=b` (subjects a and b, who look like one person), or `*` for all. Equal pixels are looked for "
        "when the job is submitted, everything else when it starts.",
    )
    edgeface: Name = Field(
        "edgeface_xxs.pt",
        description="EdgeFace weights, which stay as they are: the perceptual and the identity loss are taken by them, "
        "and the best epoch is chosen by how well they recognise. A fine-tuned one makes the guide's cycle; `job:ID`: "
        "the best backbone of a fine-tuning that succeeded.",
    )
    dsr: Name | None = Field(
        None,
        description="DSR weights to go on from, with their layout; `job:ID`: those of a DSR training that succeeded; "
        "null begins with a network that interpolates.",
    )
    channels: int | None = Field(
        None, ge=4, le=256, description=f"C of a new network. null: {DEFAULT_LAYOUT.channels}, or that of `dsr`."
    )
    blocks: int | None = Field(
        None, ge=1, le=64, description=f"Residual blocks N of a new network. null: {DEFAULT_LAYOUT.blocks}, or `dsr`'s."
    )
    factors: tuple[_Factor, ...] | None = Field(
        None,
        min_length=1,
        max_length=4,
        description=f"By how much each stage of a new network enlarges. null: {list(DEFAULT_LAYOUT.factors)}, or "
        "`dsr`'s. What comes out is resized to 112 px.",
    )
    vlr_sizes: tuple[_VlrSize, ...] = Field(
        (16,),
        min_length=1,
        max_length=8,
        description="Sides of the VLR faces in pixels that it learns to enlarge; one network takes them all.",
    )
    device: str = Field(
        "auto",
        pattern=DEVICE_PATTERN,
        description="`auto` (a GPU where there is one), `cpu`, `cuda` or `cuda:N`.",
    )
    epochs: int = Field(30, ge=1, le=10000, description="How often every training face is seen.")
    batch_size: int = Field(16, ge=1, le=4096, description="Faces per optimizer step.")
    lr: float = Field(2e-4, gt=0, le=1, description="Adam's learning rate at the start; a cosine takes it to zero.")
    num_workers: int = Field(8, ge=0, le=64, description="Threads that decode images; 0 decodes one by one.")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Seed of everything random. A CPU run repeats exactly.")

    pixel_loss: Literal["charbonnier", "l1"] = Field(
        "charbonnier", description="How far pixels in [0, 1] are from the HR face's."
    )
    pixel_weight: float = Field(1.0, ge=0, le=1000, description="Weight of the pixel loss.")
    perceptual_weight: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="Weight of the distance between feature maps of EdgeFace's own first stages (no VGG network is "
        "fetched), as a share of their size.",
    )
    identity_weight: float = Field(
        0.1, ge=0, le=1000, description="Weight of 1 - cosine between the embeddings of the enlarged and the HR face."
    )

    kernel_probability: _Probability = Field(
        0.3, description="Share of faces reduced by bilinear interpolation or area averages instead of bicubic."
    )
    blur_probability: _Probability = Field(0.3, description="Share of faces blurred before they are reduced.")
    blur_sigma: float = Field(2.0, gt=0, le=10, description="Largest sigma of the Gaussian blur, in HR pixels.")
    shift_probability: _Probability = Field(0.3, description="Share of faces that lie off where the HR face does.")
    shift_pixels: float = Field(1.0, gt=0, le=16, description="By how much at most, in HR pixels, on either axis.")
    noise_probability: _Probability = Field(0.3, description="Share of VLR faces with noise.")
    noise_sigma: float = Field(6.0, gt=0, le=128, description="Largest sigma of the Gaussian noise, of 255.")
    jpeg_probability: _Probability = Field(0.3, description="Share of VLR faces that went through JPEG.")
    jpeg_quality: int = Field(60, ge=1, le=95, description="Lowest quality of the JPEG; the highest is 95.")

    @property
    def layout(self) -> DsrLayout:
        """Of a new network."""
        return DsrLayout(
            channels=self.channels or DEFAULT_LAYOUT.channels,
            blocks=self.blocks or DEFAULT_LAYOUT.blocks,
            factors=self.factors or DEFAULT_LAYOUT.factors,
            prelu_parameters=DEFAULT_LAYOUT.prelu_parameters,
        )

    @model_validator(mode="before")
    @classmethod
    def _directories_of_dataset(cls, values: object) -> object:
        return with_directories(values)

    @model_validator(mode="after")
    def _a_dataset_is_named(self) -> Self:
        refuse_unnamed_directories(train_dir=self.train_dir, val_dir=self.val_dir)
        return self

    @model_validator(mode="after")
    def _something_is_learned(self) -> Self:
        if not (self.pixel_weight or self.perceptual_weight or self.identity_weight):
            raise ValueError("pixel_weight, perceptual_weight and identity_weight are all 0: nothing would be learned")
        return self

    @model_validator(mode="after")
    def _sizes_differ(self) -> Self:
        if len(set(self.vlr_sizes)) < len(self.vlr_sizes):
            raise ValueError("vlr_sizes names a size twice")
        return self

    @model_validator(mode="after")
    def _one_layout(self) -> Self:
        given = [name for name in ("channels", "blocks", "factors") if getattr(self, name) is not None]
        if self.dsr is not None and given:
            raise ValueError(f"{' and '.join(given)} with dsr: the network goes on with the layout of the file")
        largest = max(self.vlr_sizes) * self.layout.enlargement
        if self.dsr is None and largest > LARGEST_OUTPUT:
            raise ValueError(f"factors enlarge {max(self.vlr_sizes)} px to {largest} px: {LARGEST_OUTPUT} is the most")
        return self
