"""Names of datasets and weights."""

from pydantic import BaseModel, Field


class Names(BaseModel):
    root: str = Field(description="What messages call the folder that contains them.")
    names: list[str]
