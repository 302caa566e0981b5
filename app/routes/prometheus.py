"""The metrics of the service for Prometheus. Those of a job: app/routes/metrics.py."""

from typing import Annotated

from fastapi import APIRouter, Header, Response

from app.problems import PROBLEM_RESPONSES
from app.routes.dependencies import ServiceDep

router = APIRouter(tags=["health"], responses=PROBLEM_RESPONSES)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus's text"}},
)
def get_service_metrics(service: ServiceDep, accept: Annotated[str, Header()] = "") -> Response:
    """Return the metrics of this API process, of the jobs, of the workers and of their GPUs, for Prometheus. The rows
    are read at most every two seconds."""
    page, media_type = service.metrics.page(accept)
    return Response(page, headers={"Content-Type": media_type})
