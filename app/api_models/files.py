"""The files of a job."""

from typing import Literal

from pydantic import BaseModel, Field

from app.finetune.artifact_names import FORMATS, ArtifactKind, describe_formats


class FileView(BaseModel):
    url: str
    size: int = Field(description="Bytes.")
    sha256: str


class CheckpointView(BaseModel):
    """The best epoch so far, or with `keep: last` the last one validated; for a succeeded job, the result."""

    epoch: int = Field(description="Epoch of stage 2, or of the DSR training.")
    score: float = Field(description="Val accuracy or verification AUC of the epoch.")
    full: FileView = Field(description="edgeface_finetuned.pth (backbone, ArcFace head, subjects, config), or dsr.pth.")
    backbone: FileView | None = Field(description="The backbone's state dict; null for a DSR training.")
    exports: dict[str, FileView] = Field(default={}, description="The files of other formats by their names.")


class KeptFile(BaseModel):
    """A file of the job that is on the disk."""

    kind: Literal["best", "latest", "pinned", "older"] = Field(
        description="Why it is kept. `best`: the checkpoint or its evaluation. `latest`: the newest training state, "
        "which a resume loads. `pinned`: a person pinned it. `older`: the next clean-up deletes it."
    )
    content: ArtifactKind = Field(description=f"The format, or `state`, a training state. {describe_formats(*FORMATS)}")
    attempt: int = Field(description="The attempt that wrote it.")
    stage: Literal[0, 1, 2]
    epoch: int = Field(description="Epoch of the stage; for a training state, the number of finished epochs.")
    size: int = Field(description="Bytes.")
    sha256: str
    pinned: bool
    url: str | None = Field(description="null: training states cannot be downloaded.")
