"""What was measured after a training: all of it as JSON, and a page to look at."""

from typing import BinaryIO

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from app.finetune.evaluation import Evaluation
from app.jobs.errors import CheckpointFileMissing
from app.jobs.reports import MeasuredFile, find_measured
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import Service, ServiceDep
from app.routes.open_file import OpenFileResponse

router = APIRouter(prefix="/jobs/{job_id}", tags=["reports"], responses=PROBLEM_RESPONSES)

_NOTHING_ELSE = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


@router.get(
    "/report",
    response_class=FileResponse,
    responses={200: {"content": {"text/html": {}}, "description": "A self-contained page"}},
)
def get_report(job_id: str, service: ServiceDep) -> Response:
    """Curves of the training, of recognition before and after, the faces, the verdict, on one self-contained page."""
    return _send(service, job_id, "report", "text/html; charset=utf-8", {"Content-Security-Policy": _NOTHING_ELSE})


@router.get(
    "/evaluation",
    response_class=FileResponse,
    responses={200: {"model": Evaluation, "description": "Everything that was measured"}},
)
def get_evaluation(job_id: str, service: ServiceDep) -> Response:
    """Recognition before and after fine-tuning by every protocol, beside the baselines, with intervals."""
    return _send(service, job_id, "evaluation", "application/json", {})


def _send(service: Service, job_id: str, kind: MeasuredFile, media_type: str, headers: dict[str, str]) -> Response:
    with service.database.reading() as session:
        found = find_measured(session, job_id, kind)
    return OpenFileResponse(
        _open(service, found.key),
        filename=None,
        media_type=media_type,
        headers={"ETag": f'"{found.sha256}"', "Cache-Control": "no-cache", **headers},
    )


def _open(service: Service, key: str) -> BinaryIO:
    """Raises CheckpointFileMissing."""
    path = service.artifacts.path_of(key)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise CheckpointFileMissing(path) from None
