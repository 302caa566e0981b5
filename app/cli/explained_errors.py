"""The errors of the commands in words, with the exit status."""

import httpx2

from app.client import ApiError, DownloadDamaged, EstimateFailed
from app.finetune.errors import EdgefaceError


def explain(error: Exception) -> tuple[str, int] | None:
    """Return the text and the exit status for an error of ours, of the API or of the connection, None for another."""
    match error:
        case ApiError():
            return f"error: {error}", 1 if error.problem.blame == "service" else 2
        case EdgefaceError():
            status = error.exit_status or (1 if error.blame == "service" else 2)
            return f"error: {error.message} ({error.code})\n  hint: {error.hint}", status
        case DownloadDamaged() | EstimateFailed() | httpx2.HTTPStatusError():
            return f"error: {error}", 1
        case httpx2.TransportError():
            hint = "start one with edgeface-finetune serve, or set --url"
            return f"error: no API answers ({error})\n  hint: {hint}", 1
    return None
