"""The files of a job as a person sees them."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.jobs.checkpoint_files import checkpoint_files
from app.jobs.tables import MEASURED_KINDS, Artifact, ArtifactKind, Job


class FileView(BaseModel):
    url: str
    size: int = Field(description="Bytes.")
    sha256: str


class CheckpointView(BaseModel):
    """The best epoch so far; of a succeeded job, the result."""

    epoch: int = Field(description="Epoch of stage 2, or of the DSR network.")
    score: float = Field(description="What the best epoch was chosen by: val accuracy, or verification AUC.")
    full: FileView = Field(description="edgeface_finetuned.pth: backbone, ArcFace head, subjects, config; or dsr.pth.")
    backbone: FileView | None = Field(description="The bare backbone state dict; null of a DSR network.")


class KeptFile(BaseModel):
    """A file of the job that is on the disk."""

    kind: Literal["best", "latest", "pinned", "older"] = Field(
        description="Why it is kept. `best`: the checkpoint, or what was measured of it. `latest`: the training state "
        "saved last, from which a resume goes on. `pinned`: by a person. `older`: until the next clean-up."
    )
    content: ArtifactKind = Field(
        description="`full`: edgeface_finetuned.pth or dsr.pth. `backbone`: the bare state dict. `state`: a training "
        "state. `evaluation` and `report`: what was measured after the training, as JSON and as a page."
    )
    attempt: int = Field(description="The attempt that wrote it.")
    stage: Literal[0, 1, 2]
    epoch: int = Field(description="Epoch of the stage; of a state, how many were finished.")
    size: int = Field(description="Bytes.")
    sha256: str
    pinned: bool
    url: str | None = Field(description="null: a training state is of use to the service only.")


def view_checkpoint(job: Job, path: str) -> CheckpointView | None:
    """`path` is the job's own address."""
    if job.checkpoint is None:
        return None
    full, backbone = job.checkpoint["full"], job.checkpoint.get("backbone")
    return CheckpointView(
        epoch=job.checkpoint["epoch"],
        score=job.checkpoint["score"],
        full=FileView(url=f"{path}/checkpoint", **_size_and_hash(full)),
        backbone=backbone and FileView(url=f"{path}/checkpoint?format=backbone", **_size_and_hash(backbone)),
    )


def view_files(job: Job, artifacts: list[Artifact], path: str) -> list[KeptFile]:
    """`artifacts` with the oldest first; `path` is the job's own address."""
    best = {file.key for file in checkpoint_files(job.checkpoint)}
    states = [artifact.key for artifact in artifacts if artifact.kind == "state"]
    return [
        KeptFile.model_validate(
            artifact.model_dump()
            | {
                "kind": _kind(artifact, best, states[-1:]),
                "content": artifact.kind,
                "url": _url(artifact, path),
            }
        )
        for artifact in artifacts
    ]


def _kind(artifact: Artifact, best: set[str], latest: list[str]) -> str:
    if artifact.key in best or artifact.kind in MEASURED_KINDS:
        return "best"
    if artifact.key in latest:
        return "latest"
    return "pinned" if artifact.pinned else "older"


def _url(artifact: Artifact, path: str) -> str | None:
    if artifact.kind == "state":
        return None
    if artifact.kind in MEASURED_KINDS:
        return f"{path}/{artifact.kind}"
    wanted = "" if artifact.kind == "full" else "&format=backbone"
    return f"{path}/checkpoint?epoch={artifact.epoch}&attempt={artifact.attempt}{wanted}"


def _size_and_hash(file: dict[str, Any]) -> dict[str, Any]:
    return {"size": file["size"], "sha256": file["sha256"]}
