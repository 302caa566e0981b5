"""Sends a file or a folder by tus 1.0, and goes on where a connection broke or a process was killed."""

import base64
import hashlib
import time
from collections.abc import Callable

from app.api_models.uploads import UploadView
from app.client.begun_uploads import BegunUploads
from app.client.connection import RECONNECT_SECONDS, TEMPORARY_ERRORS, Connection, seconds_to_wait
from app.client.errors import ApiError
from app.client.packing import Packed

PART_BYTES = 8 * 2**20
"""Of one request, and so the memory that a file takes."""

_AGAIN = frozenset({"upload_offset_wrong", "upload_busy", "upload_checksum_wrong", "request_timeout"})
"""Codes of problems after which the service is asked for its offset, and gets the bytes from there."""

OnProgress = Callable[[int, int], None]
"""Is called with the bytes that the service has, and those of the whole."""


def send(
    connection: Connection, packed: Packed, begun: BegunUploads, on_progress: OnProgress = lambda _sent, _all: None
) -> UploadView:
    """Return the upload once the service has all bytes.

    Raises ApiError, UploadUnreadable, and the error of the connection where the service takes no byte for as long as
    the connection has patience. What was sent stays: the next call for the same source goes on.
    """
    upload = _find(connection, packed, begun)
    if upload is None:
        upload = _begin(connection, packed)
        begun.keep(packed.identity, upload.id)
    on_progress(upload.offset, packed.length)
    _send_rest(connection, packed, upload, on_progress)
    return _view(connection, upload.id)


def _find(connection: Connection, packed: Packed, begun: BegunUploads) -> UploadView | None:
    upload_id = begun.find(packed.identity)
    if upload_id is None:
        return None
    try:
        upload = _view(connection, upload_id)
    except ApiError as error:
        if error.problem.code != "upload_not_found":
            raise
        return None
    return upload if upload.resumable and upload.length == packed.length else None


def _begin(connection: Connection, packed: Packed) -> UploadView:
    name = base64.b64encode(packed.name.encode("utf-8", "replace")).decode()
    headers = {"Upload-Length": str(packed.length), "Upload-Metadata": f"filename {name}"}
    # Repeated where the answer was lost: an upload that nobody goes on with expires.
    return UploadView.model_validate(connection.request("POST", "/uploads", headers=_tus(headers)))


def _send_rest(connection: Connection, packed: Packed, upload: UploadView, on_progress: OnProgress) -> None:
    offset: int | None = upload.offset
    deadline = time.monotonic() + connection.patience_seconds
    while offset != packed.length:
        try:
            if offset is None:
                offset = _view(connection, upload.id).offset
                continue
            part = packed.read(offset, PART_BYTES)
            _send_part(connection, upload.id, offset, part)
        except (*TEMPORARY_ERRORS, ApiError) as error:
            is_temporary = isinstance(error, TEMPORARY_ERRORS)
            seconds = seconds_to_wait(error) if is_temporary else RECONNECT_SECONDS
            may_pass = is_temporary or (isinstance(error, ApiError) and error.problem.code in _AGAIN)
            if not may_pass or time.monotonic() + seconds > deadline:
                raise
            time.sleep(seconds)
            offset = None
        else:
            offset += len(part)
            deadline = time.monotonic() + connection.patience_seconds
            on_progress(offset, packed.length)


def _send_part(connection: Connection, upload_id: str, offset: int, part: bytes) -> None:
    checksum = base64.b64encode(hashlib.sha256(part).digest()).decode()
    headers = {
        "Upload-Offset": str(offset),
        "Upload-Checksum": f"sha256 {checksum}",
        "Content-Type": "application/offset+octet-stream",
    }
    connection.request_once("PATCH", f"/uploads/{upload_id}", headers=_tus(headers), content=part)


def _view(connection: Connection, upload_id: str) -> UploadView:
    return UploadView.model_validate(connection.request("GET", f"/uploads/{upload_id}"))


def _tus(headers: dict[str, str]) -> dict[str, str]:
    return {"Tus-Resumable": "1.0.0", **headers}
