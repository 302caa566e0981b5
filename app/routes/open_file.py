"""A response that sends an open file, even if it is deleted or replaced meanwhile."""

import os
from collections.abc import Mapping
from typing import BinaryIO

from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send


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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()
