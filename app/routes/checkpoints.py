"""The checkpoint's download."""

from typing import Annotated, BinaryIO

from fastapi import APIRouter, Header, Query, Response, status
from fastapi.responses import FileResponse

from app.jobs.checkpoints import CheckpointFormat, find_checkpoint
from app.jobs.errors import CheckpointFileMissing
from app.jobs.resume import StoredFile
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep
from app.routes.open_file import OpenFileResponse

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
    service: ServiceDep,
    format: Annotated[  # noqa: A002 - the query parameter's name
        CheckpointFormat,
        Query(description="`full`: edgeface_finetuned.pth. `backbone`: the bare state dict of the backbone."),
    ] = "full",
    epoch: Annotated[
        int | None,
        Query(ge=1, le=2**31 - 1, description="Of this epoch of stage 2, where it is still kept. Default: the best."),
    ] = None,
    attempt: Annotated[
        int | None,
        Query(ge=1, le=2**31 - 1, description="With `epoch`: of this attempt. Default: the newest that has one."),
    ] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The best epoch so far; of a succeeded job, the result. With `epoch`, an older one that is still kept, such as a
    pinned one. The ETag is the file's sha256; Range is honoured."""

    def find() -> StoredFile:
        with service.database.reading() as session:
            return find_checkpoint(session, job_id, format, epoch=epoch, attempt=attempt)

    found = find()
    if if_none_match is not None and found.sha256 in _named(if_none_match):
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers={"ETag": f'"{found.sha256}"'})
    while True:
        try:
            file = _open(service, found.key)
            break
        except CheckpointFileMissing:
            missing, found = found, find()
            if found.key == missing.key:
                raise
    return OpenFileResponse(
        file,
        filename=_FILE_NAMES[format],
        media_type="application/octet-stream",
        headers={"ETag": f'"{found.sha256}"', "Cache-Control": "no-cache"},
    )


def _named(if_none_match: str) -> set[str]:
    return {tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")}


def _open(service: Service, key: str) -> BinaryIO:
    """Raises CheckpointFileMissing, also where the file is deleted between looking and opening."""
    path = service.artifacts.path_of(key)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise CheckpointFileMissing(path) from None
