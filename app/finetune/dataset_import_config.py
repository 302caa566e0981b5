"""DatasetImportConfig: the body of POST /datasets that makes a dataset of an upload, and the config of its job."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.finetune.config import LONGEST_PATTERN
from app.finetune.job_config import JobConfig
from app.finetune.plain_names import check_plain_name

NewName = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(check_plain_name)]


class ImportOptions(BaseModel):
    """How the dataset is made. All but `subject_pattern` are for an archive of photos by person."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    subject_pattern: str | None = Field(
        None,
        max_length=LONGEST_PATTERN,
        description="Which part of a path is the subject. null: `folder` for photos; for a dataset as it was built, "
        "else `guide`.",
    )
    vlr_size: int = Field(16, ge=4, le=111, description="Side of the VLR images that are made of the HR images.")
    split: Literal["subjects", "images"] = Field(
        "subjects", description="Whether each person is in one part, or some images of each are in every part."
    )
    val_fraction: float = Field(0.2, gt=0, lt=1, description="Share of val.")
    test_fraction: float = Field(0.2, ge=0, lt=1, description="Share of test. 0: none.")
    seed: int = Field(42, ge=0, lt=2**32, description="Of the split.")
    align: bool = Field(False, description="Whether faces are detected and aligned. Else photos are cropped.")
    allowed_leaks: list[Annotated[str, Field(max_length=1000)]] = Field(
        default_factory=list, max_length=1000, description="As of a fine-tuning."
    )


class DatasetImportConfig(JobConfig):
    """A dataset to make of an upload. Unknown fields are refused."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "office", "upload": "01a22ce916d72d2b2e545462"}]}
    )

    name: NewName = Field(description="Name of the new dataset: no folder and no dataset has it.")
    upload: str = Field(pattern="^[0-9a-f]{24}$", description="Id of a whole upload: a zip or tar file.")
    options: ImportOptions = Field(default_factory=ImportOptions, description="How the dataset is made.")

    @property
    def summary(self) -> str:
        return f"dataset {self.name} of an upload"
