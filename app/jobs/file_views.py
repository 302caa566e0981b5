"""Views of the files of a job."""

from app.api_models.files import CheckpointView, FileView, KeptFile
from app.finetune.artifact_names import STATE, WRITTEN_AT_THE_END, formats_of
from app.finetune.checkpoint import WrittenFile
from app.jobs.tables import Artifact, Job


def view_checkpoint(job: Job, path: str) -> CheckpointView | None:
    """Return the job's best checkpoint. `path` is the job's address."""
    if job.checkpoint is None:
        return None
    files = {
        name: _view_file(file, f"{path}/checkpoint{'' if name == 'full' else f'?format={name}'}")
        for name, file in job.checkpoint.by_format.items()
    }
    return CheckpointView(
        epoch=job.checkpoint.epoch,
        score=job.checkpoint.score,
        full=files.pop("full"),
        backbone=files.pop("backbone", None),
        exports=files,
    )


def view_files(job: Job, artifacts: list[Artifact], path: str) -> list[KeptFile]:
    """Return the job's files. `artifacts` are sorted, oldest first; `path` is the job's address."""
    best = {file.key for file in job.checkpoint.files} if job.checkpoint else set()
    states = [artifact.key for artifact in artifacts if artifact.kind == STATE]
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
    if artifact.key in best or artifact.kind in formats_of(*WRITTEN_AT_THE_END):
        return "best"
    if artifact.key in latest:
        return "latest"
    return "pinned" if artifact.pinned else "older"


def _url(artifact: Artifact, path: str) -> str | None:
    if artifact.kind == STATE:
        return None
    if artifact.kind in formats_of("evaluation"):
        return f"{path}/{artifact.kind}"
    if artifact.kind in formats_of("export"):
        return f"{path}/checkpoint?format={artifact.kind}"
    wanted = "" if artifact.kind == "full" else f"&format={artifact.kind}"
    return f"{path}/checkpoint?epoch={artifact.epoch}&attempt={artifact.attempt}{wanted}"


def _view_file(file: WrittenFile, url: str) -> FileView:
    return FileView(url=url, size=file.size, sha256=file.sha256)
