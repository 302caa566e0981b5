"""What was measured after a training: all of it as JSON, and a page to look at."""

from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import FileResponse

from app.finetune.evaluation import Evaluation
from app.jobs.reports import find_measured
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep
from app.routes.stored_files import STORED_FILE_RESPONSES, send_stored_file

router = APIRouter(prefix="/jobs/{job_id}", tags=["reports"], responses=PROBLEM_RESPONSES)

_NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

IfNoneMatch = Annotated[str | None, Header()]


@router.get(
    "/report",
    response_class=FileResponse,
    responses={
        200: {"content": {"text/html": {}}, "description": "A self-contained page"},
        **STORED_FILE_RESPONSES,
    },
)
def get_report(job_id: str, service: ServiceDep, if_none_match: IfNoneMatch = None) -> Response:
    """Curves of the training, of recognition before and after, the faces, the verdict, on one self-contained page. The
    ETag is the file's sha256."""
    return send_stored_file(
        service,
        lambda session: find_measured(session, job_id, "report"),
        if_none_match,
        filename=None,
        media_type="text/html; charset=utf-8",
        headers={"Content-Security-Policy": _NOTHING_ELSE},
    )


@router.get(
    "/evaluation",
    response_class=FileResponse,
    responses={
        200: {"model": Evaluation, "description": "Everything that was measured"},
        **STORED_FILE_RESPONSES,
    },
)
def get_evaluation(job_id: str, service: ServiceDep, if_none_match: IfNoneMatch = None) -> Response:
    """Recognition before and after fine-tuning by every protocol, beside the baselines, with intervals. The ETag is the
    file's sha256."""
    return send_stored_file(
        service,
        lambda session: find_measured(session, job_id, "evaluation"),
        if_none_match,
        filename=None,
        media_type="application/json",
    )
