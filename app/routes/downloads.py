"""Downloads of a job's results: checkpoint, report, evaluation."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import FileResponse

from app.finetune.artifact_names import DOWNLOADED_AS_CHECKPOINT, CheckpointFormat, describe_formats, formats_of
from app.finetune.evaluation import Evaluation
from app.guard.content_policy import report_policy
from app.jobs.checkpoints import find_checkpoint
from app.jobs.reports import find_measured
from app.problems import PROBLEM_RESPONSES
from app.routes.stored_files import DownloadsDep, file_responses

router = APIRouter(prefix="/jobs/{job_id}", responses=PROBLEM_RESPONSES)


@router.get(
    "/checkpoint",
    tags=["checkpoint"],
    response_class=FileResponse,
    responses=file_responses({"content": {"application/octet-stream": {}}, "description": "The file"}),
)
def get_checkpoint(
    job_id: str,
    downloads: DownloadsDep,
    format: Annotated[  # noqa: A002 - the query parameter's name
        CheckpointFormat,
        Query(description=describe_formats(*formats_of(*DOWNLOADED_AS_CHECKPOINT))),
    ] = "full",
    epoch: Annotated[
        int | None,
        Query(
            ge=1,
            le=2**31 - 1,
            description="Epoch of stage 2 or of the DSR training, if its checkpoint is kept. Default: the best.",
        ),
    ] = None,
    attempt: Annotated[
        int | None,
        Query(ge=1, le=2**31 - 1, description="With `epoch`: attempt that wrote it. Default: the newest one."),
    ] = None,
) -> Response:
    """Return the best checkpoint so far; for a succeeded job, the result. `epoch` selects another kept checkpoint, such
    as a pinned one. The ETag is the sha256; Range works. Content-Disposition names the file after the job."""
    return downloads.send(
        lambda session: find_checkpoint(session, job_id, format, epoch=epoch, attempt=attempt),
        "application/octet-stream",
        attached_of=job_id,
    )


@router.get(
    "/report",
    tags=["reports"],
    response_class=FileResponse,
    responses=file_responses({"content": {"text/html": {}}, "description": "A self-contained HTML page"}),
)
def get_report(job_id: str, downloads: DownloadsDep) -> Response:
    """Return a self-contained HTML page with the training curves, recognition before and after, faces and the verdict.
    The ETag is the sha256."""
    return downloads.send(
        lambda session: find_measured(session, job_id, "report"),
        "text/html; charset=utf-8",
        headers_of=_report_headers,
    )


def _report_headers(page: bytes) -> dict[str, str]:
    # The dashboard shows it in a frame.
    return {"Content-Security-Policy": report_policy(page), "X-Frame-Options": "SAMEORIGIN"}


@router.get(
    "/evaluation",
    tags=["reports"],
    response_class=FileResponse,
    responses=file_responses({"model": Evaluation, "description": "The evaluation"}),
)
def get_evaluation(job_id: str, downloads: DownloadsDep) -> Response:
    """Return recognition before and after fine-tuning by every protocol, with baselines and confidence intervals. The
    ETag is the sha256."""
    return downloads.send(lambda session: find_measured(session, job_id, "evaluation"), "application/json")
