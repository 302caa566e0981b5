"""Metrics of the epochs of a job, as JSON or CSV."""

import csv
import io
from typing import Annotated

from fastapi import APIRouter, Header, Response

from app.api_models.metrics import Metrics
from app.finetune.epoch_metrics import EpochMetrics
from app.jobs import queries
from app.jobs.views import view_epoch
from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ReadingSessionDep

router = APIRouter(prefix="/jobs/{job_id}/metrics", tags=["metrics"], responses=PROBLEM_RESPONSES)


@router.get(
    "",
    response_model=Metrics,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}, "description": "Both stages, in order"}},
)
def get_metrics(
    job_id: str, session: ReadingSessionDep, accept: Annotated[str, Header()] = "application/json"
) -> Response:
    """List the epochs of both stages. `Accept: text/csv` returns CSV."""
    job = queries.get(session, job_id)
    epochs = [view_epoch(metric) for metric in queries.metrics(session, job)]
    if "text/csv" in accept:
        return Response(_csv(epochs), media_type="text/csv")
    # Here, in a thread: FastAPI would encode it on the event loop.
    content = Metrics(job_id=job_id, epochs=epochs).model_dump_json(by_alias=True)
    return Response(content, media_type="application/json")


def _csv(epochs: list[EpochMetrics]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(EpochMetrics.model_fields))
    writer.writeheader()
    writer.writerows(epoch.model_dump() for epoch in epochs)
    return text.getvalue()
