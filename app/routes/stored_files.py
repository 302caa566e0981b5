"""Downloads of a job's files, with ETag, If-None-Match and Range."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, BinaryIO

from fastapi import Depends, Header, Response, status
from sqlmodel import Session

from app.access.callers import Caller
from app.finetune.checkpoint import WrittenFile
from app.finetune.download_names import download_name
from app.finetune.user_files import open_file
from app.guard.gate import CallerDep
from app.jobs import queries
from app.jobs.errors import StoredFileMissing, StoredFileUnreadable
from app.routes.dependencies import Service, ServiceDep, reading_for
from app.routes.open_file import OpenFileResponse


def file_responses(answer: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return the responses for OpenAPI. `answer` describes that of status 200."""
    return {
        200: answer,
        206: {"description": "The requested range"},
        304: {"description": "The client has the file: If-None-Match names it"},
    }


class Downloads:
    """Sends files to one client."""

    def __init__(self, service: Service, caller: Caller, if_none_match: str | None) -> None:
        self._service = service
        self._caller = caller
        self._known = _etags(if_none_match or "")

    def send(
        self,
        find: Callable[[Session], WrittenFile],
        media_type: str,
        *,
        attached_of: str | None = None,
        headers_of: Callable[[bytes], Mapping[str, str]] | None = None,
    ) -> Response:
        """Send the file that `find` returns, with its sha256 as ETag. `attached_of`: id of the job after which browsers
        name the file that they save; None: they show it. `headers_of` returns further headers for its content.

        Raises StoredFileMissing, StoredFileUnreadable, and as `find`.
        """
        found = self._find(find)
        if self._known & {found.sha256, "*"}:
            return Response(status_code=status.HTTP_304_NOT_MODIFIED, headers=_headers(found))
        filename = None if attached_of is None else self._name(attached_of, found.path.name)
        while True:
            try:
                file = self._open(found.key)
                break
            except StoredFileMissing:
                # A better checkpoint may have replaced it.
                missing, found = found, self._find(find)
                if found.key == missing.key:
                    raise
        further = {} if headers_of is None else headers_of(file.read())
        return OpenFileResponse(
            file,
            filename=filename,
            media_type=media_type,
            headers={**_headers(found), **further},
        )

    def read(self, find: Callable[[Session], WrittenFile]) -> bytes:
        """Return the content of the file that `find` returns. Raises as `send`."""
        with self._open(self._find(find).key) as file:
            return file.read()

    def _find(self, find: Callable[[Session], WrittenFile]) -> WrittenFile:
        with reading_for(self._service, self._caller) as session:
            return find(session)

    def _name(self, job_id: str, file_name: str) -> str:
        with reading_for(self._service, self._caller) as session:
            return download_name(job_id, queries.get(session, job_id).name, file_name)

    def _open(self, key: str) -> BinaryIO:
        path = self._service.artifacts.path_of(key)
        try:
            return open_file(path)
        except FileNotFoundError:
            raise StoredFileMissing(path) from None
        except OSError as error:
            raise StoredFileUnreadable(path, error.strerror or str(error)) from None


async def get_downloads(
    service: ServiceDep, caller: CallerDep, if_none_match: Annotated[str | None, Header()] = None
) -> Downloads:
    return Downloads(service, caller, if_none_match)


DownloadsDep = Annotated[Downloads, Depends(get_downloads)]


def _headers(found: WrittenFile) -> dict[str, str]:
    return {"ETag": f'"{found.sha256}"', "Cache-Control": "no-cache"}


def _etags(if_none_match: str) -> set[str]:
    return {tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(",")}
