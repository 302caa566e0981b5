"""The checkpoint's download."""

from email.utils import formatdate
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response, status
from fastapi.responses import FileResponse

from app.jobs import store
from app.jobs.errors import CheckpointNotReady
from app.jobs.states import JobStatus
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ReadingSessionDep, ServiceDep

router = APIRouter(prefix="/jobs/{job_id}/checkpoint", tags=["checkpoint"], responses=PROBLEM_RESPONSES)

_FILE_NAMES = {"full": "edgeface_finetuned.pth", "backbone": "edgeface_backbone.pth"}


@router.get(
    "",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The whole file"},
        206: {"description": "The range asked for"},
        304: {"description": "The file is the one that If-None-Match names"},
    },
)
def get_checkpoint(
    job_id: str,
    session: ReadingSessionDep,
    service: ServiceDep,
    format: Annotated[  # noqa: A002 - the query parameter's name
        Literal["full", "backbone"],
        Query(description="`full`: edgeface_finetuned.pth. `backbone`: the bare state dict of the backbone."),
    ] = "full",
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The best epoch so far; of a succeeded job, the result. The ETag is the file's sha256; Range is honoured."""
    job = store.get(session, job_id)
    if job.checkpoint is None:
        raise CheckpointNotReady(job_id, JobStatus(job.status))
    file = job.checkpoint[format]
    etag = f'"{file["sha256"]}"'
    if if_none_match is not None and etag in {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": etag})
    path = service.artifacts.path_of(file["key"])
    return FileResponse(
        path,
        filename=_FILE_NAMES[format],
        media_type="application/octet-stream",
        headers={
            "ETag": etag,
            "Cache-Control": "no-cache",
            "Last-Modified": formatdate(path.stat().st_mtime, usegmt=True),
        },
    )
