"""The files of `static/`, each at an address that has the hash of its content, so that browsers keep it for a year."""

import functools
import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from starlette.exceptions import HTTPException

PREFIX = "/ui/static/"
_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_COMPRESSED = (".css", ".js", ".svg")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class StaticFile:
    """One file of `static/`, read once. `compressed` is it by gzip, None for what gzip does not make smaller."""

    address: str
    content: bytes
    compressed: bytes | None
    etag: str
    media_type: str


@functools.cache
def static_files() -> dict[str, StaticFile]:
    """Return the files by the last part of their addresses, as in `face-1f2e3d4c.css`."""
    found = [_read(path) for path in sorted(_FOLDER.iterdir()) if path.suffix in _TYPES]
    return {file.address.removeprefix(PREFIX): file for file in found}


@functools.cache
def static_address(name: str) -> str:
    """Return the address of a file of `static/`, such as `face.css`. Raises LookupError for a name without a file."""
    stem, _, suffix = name.rpartition(".")
    for last, file in static_files().items():
        if last.startswith(f"{stem}-") and last.endswith(f".{suffix}") and len(last) == len(name) + 9:
            return file.address
    raise LookupError(f"app/pages/static has no {name}")


@router.get(PREFIX + "{file}")
async def get_static_file(
    file: str,
    if_none_match: Annotated[str, Header()] = "",
    accept_encoding: Annotated[str, Header()] = "",
) -> Response:
    """Return a stylesheet, a script or a picture. An address is never used for another content."""
    found = static_files().get(file)
    if found is None:
        raise HTTPException(404, "there is no such file")
    headers = {
        "Cache-Control": "public, max-age=31536000, immutable",
        "ETag": found.etag,
        "Vary": "Accept-Encoding",
    }
    if found.etag in if_none_match:
        return Response(status_code=304, headers=headers)
    if found.compressed is not None and "gzip" in accept_encoding:
        return Response(found.compressed, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:8]
    return StaticFile(
        address=f"{PREFIX}{path.stem}-{digest}{path.suffix}",
        content=content,
        compressed=gzip.compress(content, 9, mtime=0) if path.suffix in _COMPRESSED else None,
        etag=f'"{digest}"',
        media_type=_TYPES[path.suffix],
    )
