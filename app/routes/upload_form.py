"""Reads a form with one file, such as that of `curl -F file=@faces.zip`, part by part: no more than a chunk is in
memory, and the file is written once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from app.uploads.errors import UploadFormInvalid

FIELD = "file"


@dataclass
class _Form:
    """What the parser has found so far. `content` are the bytes of the file that nobody took yet."""

    content: list[bytes] = field(default_factory=list)
    name: str | None = None
    finished: bool = False
    ended: bool = False
    _headers: dict[bytes, bytes] = field(default_factory=dict)
    _header_name: bytes = b""
    _header_value: bytes = b""
    _is_file: bool = False

    def on_part_begin(self) -> None:
        self._headers, self._is_file = {}, False

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._is_file = options.get(b"name") == FIELD.encode() and b"filename" in options
        if not self._is_file:
            raise UploadFormInvalid(f"it has another part than the file `{FIELD}`")
        if self.name is not None:
            raise UploadFormInvalid("it has several files")
        self.name = options[b"filename"].decode("utf-8", "replace")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.content.append(data[start:end])

    def on_part_end(self) -> None:
        self.finished = self.finished or self._is_file

    def on_end(self) -> None:
        self.ended = True

    def take(self) -> list[bytes]:
        taken, self.content = self.content, []
        return taken


class FileOfForm:
    """The file of the form in a request. `name` is known once the first byte of the file is."""

    def __init__(self, request: Request) -> None:
        """Raises UploadFormInvalid."""
        _, options = parse_options_header(request.headers.get("content-type", ""))
        boundary = options.get(b"boundary")
        if not boundary or len(boundary) > 256:
            raise UploadFormInvalid("its Content-Type has no boundary")
        self._request = request
        self._form = _Form()
        form = self._form
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_part_data": form.on_part_data,
                "on_part_end": form.on_part_end,
                "on_end": form.on_end,
            },
        )

    @property
    def name(self) -> str:
        return self._form.name or "upload"

    async def content(self) -> AsyncIterator[bytes]:
        """Yield the bytes of the file. Raises UploadFormInvalid, also at the end of a form that is not whole, and
        ClientDisconnect."""
        async for chunk in self._request.stream():
            try:
                self._parser.write(chunk)
            except FormParserError:
                raise UploadFormInvalid("it is not multipart/form-data") from None
            for part in self._form.take():
                yield part
        if not (self._form.finished and self._form.ended):
            raise UploadFormInvalid(f"it ends before the end of the file `{FIELD}`, or has no such file")
