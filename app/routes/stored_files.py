"""How a file of a job is answered with: not again to who has it, whole or in ranges, and what is said if it is gone."""

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from fastapi import Response, status
from sqlmodel import Session

from app.finetune.checkpoint import WrittenFile
from app.jobs.errors import StoredFileMissing
from app.routes.dependencies import Service
from app.routes.open_file import OpenFileResponse

STORED_FILE_RESPONSES: dict[int | str, dict[str, Any]] = {
    206: {"description": "The range asked for"},
    304: {"description": "The file is the one that If-None-Match names"},
}
"""Besides 200, for the API's own description."""


def send_stored_file(
    service: Service,
    find: Callable[[Session], WrittenFile],
    if_none_match: str | None,
    *,
    filename: Callable[[WrittenFile], str] | None,
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The file that `find` names, with its sha256 as ETag; `filename` says what it is saved as, None if to look at.

    Raises what `find` raises, and StoredFileMissing.
    """

    def look() -> WrittenFile:
        with service.database.reading() as session:
            return find(session)

    found = look()
    if if_none_match is not None and _named(if_none_match) & {found.sha256, "*"}:
        return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=_headers(found))
    while True:
        try:
            file = _open(service, found.key)
            break
        except StoredFileMissing:
            missing, found = found, look()
            if found.key == missing.key:
                raise
    return OpenFileResponse(
        file,
        filename=None if filename is None else filename(found),
        media_type=media_type,
        headers={**_headers(found), **(headers or {})},
    )


def _headers(found: WrittenFile) -> dict[str, str]:
    return {"ETag": f'"{found.sha256}"', "Cache-Control": "no-cache"}


def _named(if_none_match: str) -> set[str]:
    return {tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")}


def _open(service: Service, key: str) -> BinaryIO:
    """Raises StoredFileMissing, also where the file is deleted between looking and opening."""
    path = service.artifacts.path_of(key)
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise StoredFileMissing(path) from None
