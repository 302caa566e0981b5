"""JobConfig: the base of the configs that a person submits, one class for each kind of job."""

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, model_validator

NAME_PATTERN = r"^[^\x00-\x1f]+$"

Name = Annotated[str, Field(min_length=1, max_length=512, pattern=NAME_PATTERN)]
"""Name of a folder or of a weights file."""

MOST_FIELDS = 200
"""Fields of a request. No config has as many."""

MOST_LEAKS = 1000
MOST_LEAK_CHARACTERS = 50_000
"""Of all allowed leaks together: each answer about the job repeats them."""

STORED = {"stored": True}
"""Pydantic's context for the config of a row, which an earlier version may have accepted with longer lists."""


def _not_too_many(leaks: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    if info.context == STORED:
        return leaks
    if len(leaks) > MOST_LEAKS or sum(map(len, leaks)) > MOST_LEAK_CHARACTERS:
        raise ValueError(
            f"must have at most {MOST_LEAKS} values with {MOST_LEAK_CHARACTERS} characters together; `*` allows all"
        )
    return leaks


Leaks = Annotated[tuple[Name, ...], AfterValidator(_not_too_many), Field(json_schema_extra={"maxItems": MOST_LEAKS})]
"""Names of leaks to accept: see app/finetune/leaks.py."""


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

    @model_validator(mode="before")
    @classmethod
    def _refuse_many_fields(cls, values: Any) -> Any:
        # Each unknown field would be an error of its own, with a search for similar names.
        if isinstance(values, dict) and len(values) > MOST_FIELDS:
            raise ValueError(f"it has {len(values)} fields; {MOST_FIELDS} is the most")
        return values
