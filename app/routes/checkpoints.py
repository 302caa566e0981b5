"""The checkpoint's download."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse

from app.finetune.checkpoint import CheckpointFormat
from app.jobs.checkpoints import find_checkpoint
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep
from app.routes.stored_files import STORED_FILE_RESPONSES, send_stored_file

router = APIRouter(prefix="/jobs/{job_id}/checkpoint", tags=["checkpoint"], responses=PROBLEM_RESPONSES)


@router.get(
    "",
    response_class=FileResponse,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "The whole file"},
        **STORED_FILE_RESPONSES,
    },
)
def get_checkpoint(
    job_id: str,
    service: ServiceDep,
    format: Annotated[  # noqa: A002 - the query parameter's name
        CheckpointFormat,
        Query(
            description="`full`: edgeface_finetuned.pth, or dsr.pth. `backbone`: the bare state dict of the backbone."
        ),
    ] = "full",
    epoch: Annotated[
        int | None,
        Query(
            ge=1,
            le=2**31 - 1,
            description="Of this epoch of stage 2 or of the DSR network, where it is still kept. Default: the best.",
        ),
    ] = None,
    attempt: Annotated[
        int | None,
        Query(ge=1, le=2**31 - 1, description="With `epoch`: of this attempt. Default: the newest that has one."),
    ] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The best epoch so far; of a succeeded job, the result. With `epoch`, an older one that is still kept, such as a
    pinned one. The ETag is the file's sha256; Range is honoured."""

    return send_stored_file(
        service,
        lambda session: find_checkpoint(session, job_id, format, epoch=epoch, attempt=attempt),
        if_none_match,
        filename=lambda found: found.path.name,
        media_type="application/octet-stream",
    )
