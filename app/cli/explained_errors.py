"""The errors of the commands in words, with the exit status."""

import re

import httpx2

from app.client import ApiError, DownloadDamaged, EstimateFailed, ExportFailed, UploadUnreadable
from app.finetune.errors import EdgefaceError


def explain(error: Exception) -> tuple[str, int] | None:
    """Return the text and the exit status for an error of ours, of the API or of the connection, None for another."""
    match error:
        case ApiError():
            return f"error: {error}", 1 if error.problem.blame == "service" else 2
        case EdgefaceError():
            status = error.exit_status or (1 if error.blame == "service" else 2)
            return f"error: {error.message} ({error.code})\n  hint: {error.hint}", status
        case DownloadDamaged() | EstimateFailed() | ExportFailed() | UploadUnreadable() | httpx2.HTTPStatusError():
            return f"error: {error}", 1
        case httpx2.TransportError():
            return f"error: {_no_answer(error)}", 1
    return None


def _no_answer(error: httpx2.TransportError) -> str:
    """One sentence that names the server and the next step."""
    try:
        url = error.request.url
    except RuntimeError:  # it failed before there was a request
        return str(error)
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
    return (
        f"the service at {url.scheme}://{url.netloc.decode()} does not answer ({reason}): start it there with "
        "edgeface-finetune serve, or name another with --url or EDGEFACE_URL"
    )
