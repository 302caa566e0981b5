"""A response that sends an open file, even if it is deleted or replaced meanwhile."""

import os
from collections.abc import Mapping
from typing import BinaryIO

from fastapi.responses import FileResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from app.routes.head_requests import is_head

_RANGE_PROBLEMS = (400, 416)


class OpenFileResponse(FileResponse):
    """Sends `file` from its start, honours Range and If-Range, and closes it.

    FileResponse opens its path after it has sent the size, when the file may have been replaced. The path that it gets
    here refers to the open file.
    """

    def __init__(self, file: BinaryIO, *, filename: str | None, media_type: str, headers: Mapping[str, str]) -> None:
        super().__init__(
            f"/dev/fd/{file.fileno()}",
            filename=filename,
            media_type=media_type,
            headers=headers,
            stat_result=os.fstat(file.fileno()),
        )
        self._file = file
        self._size = os.fstat(file.fileno()).st_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_file(message: Message) -> None:
            # FileResponse answers in plain text; its caller makes a problem of the exception.
            if message["type"] == "http.response.start" and message["status"] in _RANGE_PROBLEMS:
                headers = {name.decode(): value.decode() for name, value in message["headers"]}
                kept = {name: value for name, value in headers.items() if name == "content-range"}
                asked = Headers(scope=scope).get("range")
                detail = f"Range: {asked!r} is not valid for this file of {self._size} bytes"
                raise HTTPException(message["status"], detail, kept)
            await send(message)

        try:
            # FileResponse does not read the file for HEAD.
            await super().__call__({**scope, "method": "HEAD"} if is_head(scope) else scope, receive, send_file)
        finally:
            self._file.close()
