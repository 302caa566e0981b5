"""DatasetCheckConfig: the body of POST /datasets, and the config of the job that checks the dataset."""

from pydantic import ConfigDict, Field

from app.finetune.config import DEVICE_PATTERN, LONGEST_PATTERN, Name
from app.finetune.job_config import JobConfig


class DatasetCheckConfig(JobConfig):
    """A dataset to register or to read again. Unknown fields are refused."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dataset": "orl16", "subject_pattern": "guide"}]})

    dataset: Name = Field(description="Dataset name: a folder in the datasets' root.")
    subject_pattern: str | None = Field(
        None,
        max_length=LONGEST_PATTERN,
        description="Which part of a file name is the subject: guide, folder, lfw, multipie, casia, scface, or a "
        "regular expression whose first group is the subject. null: as registered before, or as built, else guide.",
    )
    edgeface: Name | None = Field(
        None,
        description="EdgeFace weights that judge by the HR images whether the subjects' names are right. null: "
        "edgeface_xxs.pt, if it is there.",
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
        return f"check of {self.dataset}"
