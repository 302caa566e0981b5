"""How far a dataset is from aligned."""

from pydantic import BaseModel, Field

from app.finetune.counted import counted
from app.finetune.job_warning import JobWarning

MISALIGNED = 2.0
"""Largest median distance of aligned faces, in pixels. MediaPipe's two passes differ by half a pixel."""


class AlignmentDistance(BaseModel):
    """How far the HR faces are off the EdgeFace template, in pixels of 112."""

    images: int = Field(description="HR images of the dataset.")
    measured: int = Field(description="Images that were measured.")
    without_face: int = Field(0, description="Of these, the ones in which no face was found.")
    median: float | None = Field(None, description="null: no face was found.")
    percentile_95: float | None = None
    limit: float = Field(description="A median above it means that the faces are not aligned.")

    @property
    def misaligned(self) -> bool:
        return self.median is not None and self.median > self.limit

    def warnings(self) -> list[JobWarning]:
        """Return the warnings about faces that are not aligned, and about images without a face."""
        found = []
        if self.median is not None and self.misaligned:
            message = (
                f"the HR faces are {self.median:.1f} px off the EdgeFace template (median of {self.measured}, in "
                "pixels of 112): recognition is worse by more than any training gains; build the dataset with --align"
            )
            found.append(JobWarning(code="faces_not_aligned", message=message))
        if self.without_face:
            message = f"no face is found in {self.without_face} of {counted(self.measured, 'HR image')}"
            found.append(JobWarning(code="faces_not_found", message=message))
        return found
