"""Views of the files of a job."""

from app.api_models.files import CheckpointView, FileView, KeptFile
from app.finetune.checkpoint import WrittenFile
from app.jobs.tables import MEASURED_KINDS, Artifact, Job


def view_checkpoint(job: Job, path: str) -> CheckpointView | None:
    """Return the job's best checkpoint. `path` is the job's address."""
    if job.checkpoint is None:
        return None
    full, backbone = job.checkpoint.full, job.checkpoint.backbone
    return CheckpointView(
        epoch=job.checkpoint.epoch,
        score=job.checkpoint.score,
        full=_view_file(full, f"{path}/checkpoint"),
        backbone=backbone and _view_file(backbone, f"{path}/checkpoint?format=backbone"),
    )


def view_files(job: Job, artifacts: list[Artifact], path: str) -> list[KeptFile]:
    """Return the job's files. `artifacts` are sorted, oldest first; `path` is the job's address."""
    best = {file.key for file in job.checkpoint.files} if job.checkpoint else set()
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


def _view_file(file: WrittenFile, url: str) -> FileView:
    return FileView(url=url, size=file.size, sha256=file.sha256)
