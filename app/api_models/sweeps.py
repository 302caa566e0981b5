"""Sweeps: one request for many fine-tunings, and one table of their results."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from app.api_models.job_status import JobStatus
from app.api_models.labels import SweepName
from app.finetune.sweeps import MOST_JOBS

SweptField = Annotated[str, Field(max_length=100)]
SweptValues = Annotated[list[Any], Field(min_length=1, max_length=MOST_JOBS)]


class SweepRequest(BaseModel):
    """A sweep to submit: a fine-tuning for each combination of the values."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "orl12-rates",
                    "config": {"dataset": "orl12"},
                    "sweep": {"backbone_lr": [1e-5, 1e-4], "seed": [1, 2, 3]},
                }
            ]
        },
    )

    name: SweepName = Field(description="1 to 100 letters, digits, `_`, `.` and `-`; no other sweep of yours has it.")
    config: dict[str, Any] = Field(max_length=100, description="The fields that all jobs share, as of POST /jobs.")
    sweep: dict[SweptField, SweptValues] = Field(
        min_length=1,
        max_length=20,
        description=f"The values of each field that varies: at most {MOST_JOBS} combinations.",
    )


class Spread(BaseModel):
    """Of the jobs of a row that have the figure."""

    mean: float
    sd: float | None = Field(description="Standard deviation of the sample (n - 1); null for a single job.")
    low: float
    high: float
    jobs: int


class SweepJob(BaseModel):
    id: str
    name: str
    status: JobStatus
    seed: int
    score: float | None = Field(description="Of the best epoch so far on val, by what val selects by.")
    tar_before: float | None = Field(description="TAR at FAR 1% on val.")
    tar_after: float | None


class SweepRow(BaseModel):
    """The jobs that differ in their seeds alone."""

    values: dict[str, Any] = Field(description="By field that varies in the sweep.")
    score: Spread | None
    tar_before: Spread | None
    tar_after: Spread | None
    jobs: list[SweepJob]


class SweepView(BaseModel):
    name: str
    total: int
    by_status: dict[JobStatus, int]
    fields: list[str] = Field(description="Fields that vary, besides the seed.")
    rows: list[SweepRow] = Field(
        description="The highest mean `score` first; rows without one come last. The score is that of val: choose by "
        "it, and measure the choice on test people by POST /evaluations."
    )
    links: dict[str, str]
