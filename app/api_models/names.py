"""Names of datasets and weights."""

from pydantic import BaseModel, Field


class Names(BaseModel):
    root: str = Field(description="The folder on the service's machine that contains them.")
    names: list[str]
