"""Two jobs compared."""

from pydantic import BaseModel, Field

from app.finetune.evaluation import Estimate, Outcome


class JobComparison(BaseModel):
    """Recognition of the same people by the results of two jobs."""

    job_id: str
    other: str
    measure: str = Field(description="Such as `TAR@FAR=1%`: VLR probes against the HR gallery.")
    of_job: Estimate = Field(description="By the first job, with its 95 % interval.")
    of_other: Estimate
    difference: Estimate = Field(
        description="The other job minus this one, with the 95 % interval of the paired bootstrap over subjects: each "
        "draw has the same subjects for both."
    )
    outcome: Outcome = Field(description="Whether the other job is `better`: the interval is above zero.")
    people: int = Field(description="Subjects of the evaluations.")
