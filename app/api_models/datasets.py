"""Records of datasets."""

from datetime import datetime

from pydantic import BaseModel, Field

from app.api_models.job_status import JobStatus
from app.api_models.names import Names
from app.finetune.dataset_findings import DatasetFindings, PartWarning
from app.finetune.errors import ErrorReport


class DatasetPartView(BaseModel):
    """One part of a dataset, by its file names."""

    part: str = Field(description="Its folder. `.`: the dataset is the part.")
    subjects: int = Field(description="Subjects with VLR images.")
    vlr_images: int
    hr_images: int
    problem: ErrorReport | None = Field(description="Why a fine-tuning cannot use it.")


class DatasetCheckView(BaseModel):
    """The newest job that checks the dataset."""

    job: str
    status: JobStatus


class DatasetSummary(BaseModel):
    """The record of a dataset."""

    id: str
    name: str
    owner: str = Field("local", description="Who registered it; `admin`: a job made the record.")
    shared: bool = Field(True, description="Whether everybody with the scope `read` may see it.")
    subject_pattern: str
    registered_at: datetime
    listed_at: datetime = Field(description="When its file names were last read.")
    fresh: bool = Field(
        description="Whether no file was added, removed or renamed since. Changed contents do not show here: each job "
        "compares them with the manifest."
    )
    parts: list[DatasetPartView]
    check: DatasetCheckView | None
    checked_at: datetime | None = Field(description="When its images were checked; null: not since they changed.")
    manifest: str | None = Field(description="Digest of the manifest that jobs compare the images with.")
    links: dict[str, str]


class DatasetView(DatasetSummary):
    """The record of a dataset with all that its check found."""

    warnings: list[PartWarning] = Field(description="What the names and the images show, in words.")
    findings: DatasetFindings | None = Field(description="What the check found; null: not checked since it changed.")


class DatasetList(Names):
    """`names` are all datasets that are there, registered or not."""

    datasets: list[DatasetSummary] = Field([], description="The records, by name.")
