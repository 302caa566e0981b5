"""JobConfig: the base of the configs that a person submits, one class for each kind of job."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict


class JobConfig(BaseModel):
    """Unknown fields and numbers that are not finite are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)

    @property
    def summary(self) -> str:
        """The line that the list of jobs shows."""
        return type(self).__name__

    def in_root(self, root: Path) -> Self:  # noqa: ARG002 - most configs do not depend on the files
        """Return the config with the fields filled that depend on what `root`, the folder of datasets, contains."""
        return self

    def as_requested(self) -> Self:
        """Return the config without what `in_root` may have filled: two requests are equal if these are."""
        return self
