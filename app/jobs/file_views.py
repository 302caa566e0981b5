"""Views of the files of a job."""

from typing import Any

from app.api_models.files import CheckpointView, FileView, KeptFile
from app.jobs.checkpoint_files import checkpoint_files
from app.jobs.tables import MEASURED_KINDS, Artifact, Job


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
