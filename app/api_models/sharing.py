"""Who may see a job or a dataset."""

from pydantic import BaseModel, ConfigDict, Field


class Sharing(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    shared: bool = Field(description="Whether everybody with the scope `read` may see it. Its owner may change it.")
