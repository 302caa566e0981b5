"""DsrTrainingConfig: the schema of a DSR training, shared by the API, the job row and the worker.

DSR is the super-resolution network that enlarges very-low-resolution (VLR) faces.
"""

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from app.finetune.architectures import DsrLayout
from app.finetune.config import DEVICE_PATTERN, FACE_SIZE, Name
from app.finetune.directories import refuse_unnamed_directories, with_directories
from app.finetune.job_config import JobConfig, Leaks

DEFAULT_LAYOUT = DsrLayout(channels=32, blocks=4, factors=(2, 4), prelu_parameters=1)
"""Layout of a new network, which a CPU trains in minutes. The guide's has 64 channels, 8 blocks, factors 2 and 5."""

LARGEST_OUTPUT = 640
"""Largest output of a network: side in pixels."""

_VlrSize = Annotated[int, Field(ge=4, lt=FACE_SIZE)]
_Factor = Annotated[int, Field(ge=2, le=8)]
_Probability = Annotated[float, Field(ge=0, le=1)]


class DsrTrainingConfig(JobConfig):
    """Configuration of a DSR training. It needs high-resolution (HR) images alone and reduces them to VLR images.
    Unknown fields are refused.

    Directories and weights are names inside the service's configured roots; weights may also be `job:ID`, the result
    of a job. `edgeface-finetune dsr-train` runs without the service and takes paths.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"dataset": "orl16", "vlr_sizes": [12, 16]}]})

    dataset: Name | None = Field(
        None,
        description="Dataset name. Sets train_dir to `NAME/train_processed` and val_dir to `NAME/val_processed`.",
    )
    train_dir: Name | None = Field(None, description="Training folder with hr_images/. Default: from `dataset`.")
    val_dir: Name | None = Field(
        None,
        description="Validation folder with hr_images/ of other people. Default: from `dataset`.",
    )
    allowed_leaks: Leaks = Field(
        (),
        description="Leaks to accept instead of refusing the job: a file name (a photo in both train and val, or under "
        "two subjects), `a=b` (subjects a and b look like one person), or `*` for all. Equal pixels are searched when "
        "the job is submitted, all other leaks when it starts.",
    )
    edgeface: Name = Field(
        "edgeface_xxs.pt",
        description="EdgeFace weights, which stay frozen. They compute the perceptual and the identity loss, and their "
        "recognition selects the best epoch. Fine-tuned weights make the guide's cycle. `job:ID` selects the best "
        "backbone of a succeeded fine-tuning.",
    )
    dsr: Name | None = Field(
        None,
        description="Initial DSR weights, which also set the layout. `job:ID` selects the network of a succeeded DSR "
        "training. null starts from a network that interpolates.",
    )
    channels: int | None = Field(
        None, ge=4, le=256, description=f"Channels C of a new network. null: {DEFAULT_LAYOUT.channels}, or as in `dsr`."
    )
    blocks: int | None = Field(
        None,
        ge=1,
        le=64,
        description=f"Residual blocks N of a new network. null: {DEFAULT_LAYOUT.blocks}, or as in `dsr`.",
    )
    factors: tuple[_Factor, ...] | None = Field(
        None,
        min_length=1,
        max_length=4,
        description=f"Upsampling factor of each stage of a new network. null: {list(DEFAULT_LAYOUT.factors)}, or as in "
        "`dsr`. The output is resized to 112 px.",
    )
    vlr_sizes: tuple[_VlrSize, ...] = Field(
        (16,),
        min_length=1,
        max_length=8,
        description="Sides of the VLR faces in pixels. One network learns to enlarge all of them.",
    )
    device: str = Field(
        "auto",
        max_length=64,
        pattern=DEVICE_PATTERN,
        description="`auto` (a GPU if available, else the CPU), `cpu`, `cuda` or `cuda:N`.",
    )
    epochs: int = Field(30, ge=1, le=10000, description="Passes over the training faces.")
    batch_size: int = Field(16, ge=1, le=4096, description="Faces per optimizer step.")
    lr: float = Field(2e-4, gt=0, le=1, description="Initial learning rate of Adam. It falls to zero along a cosine.")
    num_workers: int = Field(8, ge=0, le=64, description="Threads that decode images. 0 decodes one at a time.")
    seed: int = Field(42, ge=0, le=2**32 - 1, description="Random seed. A CPU run repeats bit for bit.")

    pixel_loss: Literal["charbonnier", "l1"] = Field(
        "charbonnier", description="Distance between the pixels in [0, 1] of the enlarged and the HR face."
    )
    pixel_weight: float = Field(1.0, ge=0, le=1000, description="Weight of the pixel loss.")
    perceptual_weight: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="Weight of the perceptual loss: the distance between feature maps of EdgeFace's first stages, "
        "relative to their size. It needs no VGG network.",
    )
    identity_weight: float = Field(
        0.1,
        ge=0,
        le=1000,
        description="Weight of the identity loss: 1 - cosine of the embeddings of the enlarged and the HR face.",
    )

    kernel_probability: _Probability = Field(
        0.3, description="Share of faces reduced by bilinear interpolation or area averaging instead of bicubic."
    )
    blur_probability: _Probability = Field(0.3, description="Share of faces blurred before reduction.")
    blur_sigma: float = Field(2.0, gt=0, le=10, description="Largest sigma of the Gaussian blur, in HR pixels.")
    shift_probability: _Probability = Field(0.3, description="Share of faces shifted against the HR face.")
    shift_pixels: float = Field(1.0, gt=0, le=16, description="Largest shift on either axis, in HR pixels.")
    noise_probability: _Probability = Field(0.3, description="Share of VLR faces with noise.")
    noise_sigma: float = Field(
        6.0, gt=0, le=128, description="Largest sigma of the Gaussian noise, on the scale 0 to 255."
    )
    jpeg_probability: _Probability = Field(0.3, description="Share of VLR faces compressed as JPEG.")
    jpeg_quality: int = Field(60, ge=1, le=95, description="Lowest JPEG quality. The highest is 95.")

    @property
    def summary(self) -> str:
        return f"DSR for {', '.join(map(str, self.vlr_sizes))} px on {self.train_dir}"

    @property
    def layout(self) -> DsrLayout:
        """Layout of a new network."""
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
            raise ValueError(f"{' and '.join(given)} with dsr: the file sets the layout of the network")
        largest = max(self.vlr_sizes) * self.layout.enlargement
        if self.dsr is None and largest > LARGEST_OUTPUT:
            raise ValueError(
                f"factors enlarge {max(self.vlr_sizes)} px to {largest} px: the largest output is {LARGEST_OUTPUT} px"
            )
        return self
