"""Labels of a job: name, tags and notes. People choose them; no part of the config, they change no training."""

import unicodedata
from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

LONGEST_NAME = 100
LONGEST_TAG = 40
LONGEST_NOTES = 4000
MOST_TAGS = 20


def _one_line(text: str) -> str:
    text = text.strip()
    _refuse_controls(text)
    return text


def _not_empty(text: str) -> str:
    if not (text := _one_line(text)):
        raise ValueError("must not be empty")
    return text


def _lines(text: str) -> str:
    text = text.replace("\r\n", "\n").strip()
    _refuse_controls(text, allowed="\n\t")
    return text


def _refuse_controls(text: str, allowed: str = "") -> None:
    if any(unicodedata.category(each) in ("Cc", "Zl", "Zp") and each not in allowed for each in text):
        besides = " other than a line break and a tab" if allowed else ", such as a line break"
        raise ValueError(f"must not contain a control character{besides}")


def _each_once(tags: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(tags))


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


JobName = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_one_line)]
"""One line of at most 100 characters. Empty: the job has no name."""

JobTag = Annotated[str, Field(max_length=LONGEST_TAG), AfterValidator(_not_empty)]
JobTags = Annotated[list[JobTag], Field(max_length=MOST_TAGS), AfterValidator(_each_once)]
"""At most 20 tags of 1 to 40 characters, each once."""

SweepName = Annotated[str, Field(max_length=LONGEST_NAME, pattern=r"^[\w][\w.-]*$")]
"""1 to 100 letters, digits, `_`, `.` and `-`, which fit a path."""

JobNotes = Annotated[str, Field(max_length=LONGEST_NOTES), AfterValidator(_lines)]
"""Text of at most 4,000 characters."""


class Labels(BaseModel):
    """The labels that a job is submitted with."""

    model_config = ConfigDict(frozen=True)

    name: JobName = ""
    tags: JobTags = []
    notes: JobNotes = ""
    sweep: SweepName | None = None


NO_LABELS = Labels()


class JobChanges(BaseModel):
    """The fields of a job that its owner can change at any time. A field that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: JobName = Field("", description="Empty: none.", json_schema_extra=_without_default)
    tags: JobTags = Field([], description="All tags of the job.", json_schema_extra=_without_default)
    notes: JobNotes = Field("", json_schema_extra=_without_default)
    shared: bool = Field(
        False,
        description="Whether everybody with the scope `read` may see the job.",
        json_schema_extra=_without_default,
    )

    @model_validator(mode="after")
    def _refuse_none(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(f"set at least one of {', '.join(sorted(type(self).model_fields))}")
        return self

    @property
    def values(self) -> dict[str, Any]:
        """The fields that were set."""
        return self.model_dump(exclude_unset=True)
