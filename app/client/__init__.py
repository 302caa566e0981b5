"""The Python client of the API. Its public name is `edgeface_finetune`."""

from app.client.client import Client
from app.client.errors import (
    ApiError,
    ApiUnavailable,
    DownloadDamaged,
    EstimateFailed,
    GatewayUnavailable,
    MeasurementFailed,
    UploadUnreadable,
)

__all__ = [
    "ApiError",
    "ApiUnavailable",
    "Client",
    "DownloadDamaged",
    "EstimateFailed",
    "GatewayUnavailable",
    "MeasurementFailed",
    "UploadUnreadable",
]
