"""Weights: their names, and those that came by uploads."""

from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.api_models.names import Names
from app.finetune.dataset_import_config import NewName
from app.finetune.plain_names import WEIGHTS_SUFFIXES


def _check_suffix(name: str) -> str:
    if PurePosixPath(name).suffix not in WEIGHTS_SUFFIXES:
        raise ValueError(f"a name of weights ends with {', '.join(WEIGHTS_SUFFIXES)}")
    return name


class WeightsUpload(BaseModel):
    """Weights to make of an upload. Unknown fields are refused."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"name": "edgeface_ours.pt", "upload": "01a22ce916d72d2b2e545462"}]},
    )

    name: Annotated[NewName, AfterValidator(_check_suffix)] = Field(
        description="Name of the new file: no folder and no weights have it."
    )
    upload: str = Field(pattern="^[0-9a-f]{24}$", description="Id of a whole upload: a weights file.")


class UploadedWeights(BaseModel):
    """Weights that came by an upload."""

    name: str = Field(description="The value of the config fields `edgeface` and `dsr`.")
    network: str | None = Field(description="The EdgeFace variant, or `DSR`.")
    owner: str
    shared: bool = Field(description="Whether everybody with the scope `read` may use it.")
    size: int = Field(description="Bytes. They count to the owner's quota.")
    sha256: str
    created_at: datetime


class WeightsList(Names):
    """`names` are all weights that a config can name."""

    uploaded: list[UploadedWeights] = Field([], description="Those of them that came by uploads, by name.")
