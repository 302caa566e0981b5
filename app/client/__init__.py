"""The Python client of the API. Its public name is `edgeface_finetune`."""

from app.client.client import Client
from app.client.errors import (
    ApiError,
    ApiUnavailable,
    DownloadDamaged,
    EstimateFailed,
    ExportFailed,
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
    "ExportFailed",
    "GatewayUnavailable",
    "MeasurementFailed",
    "UploadUnreadable",
]
