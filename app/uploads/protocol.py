"""The headers of tus 1.0, the protocol of resumable uploads."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any

from app.uploads.errors import UploadHeaderInvalid, UploadLengthMissing, UploadVersionUnknown

VERSION = "1.0.0"
CONTENT_TYPE = "application/offset+octet-stream"
CHECKSUMS = ("sha256", "sha1")
EXTENSIONS = "creation,creation-with-upload,checksum,expiration,termination"

LONGEST_NAME = 255
_LONGEST_METADATA = 4096
_MOST_BYTES = 2**53


def describe_service(most: int) -> dict[str, str]:
    """Return the headers of OPTIONS. `most` is the size of the largest file."""
    return {
        "Tus-Resumable": VERSION,
        "Tus-Version": VERSION,
        "Tus-Extension": EXTENSIONS,
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
        "Tus-Max-Size": str(most),
    }


def describe_offset(offset: int, length: int, expires_at: float) -> dict[str, str]:
    return {
        "Tus-Resumable": VERSION,
        "Upload-Offset": str(offset),
        "Upload-Length": str(length),
        "Upload-Expires": formatdate(expires_at, usegmt=True),
        "Cache-Control": "no-store",
    }


def check_version(headers: Mapping[str, str]) -> None:
    """A request without the header is taken, for the sake of curl. Raises UploadVersionUnknown."""
    if (version := headers.get("tus-resumable", VERSION)) != VERSION:
        raise UploadVersionUnknown(version)


def read_length(headers: Mapping[str, str]) -> int:
    """Raises UploadLengthMissing or UploadHeaderInvalid."""
    if "upload-length" not in headers:
        raise UploadLengthMissing
    return read_number(headers, "Upload-Length")


def read_number(headers: Mapping[str, str], name: str) -> int:
    """Raises UploadHeaderInvalid."""
    text = headers.get(name.lower())
    if text is None:
        raise UploadHeaderInvalid(name, "the header is missing; it is a number of bytes")
    if not (text.isascii() and text.isdigit() and len(text) <= 16 and int(text) <= _MOST_BYTES):
        raise UploadHeaderInvalid(name, f"{text[:40]!r} is not a number of bytes")
    return int(text)


def read_name(headers: Mapping[str, str]) -> str:
    """Return `filename` of Upload-Metadata: pairs of a key and a value in base64, separated by commas.

    Raises UploadHeaderInvalid.
    """
    text = headers.get("upload-metadata", "")
    if len(text) > _LONGEST_METADATA:
        raise UploadHeaderInvalid("Upload-Metadata", f"it has more than {_LONGEST_METADATA} characters")
    for pair in filter(None, (pair.strip() for pair in text.split(","))):
        key, _, value = pair.partition(" ")
        if key == "filename":
            return clean_name(_decode("Upload-Metadata", value).decode("utf-8", "replace"))
    return "upload"


def clean_name(name: str) -> str:
    """Return the last part of a file name, without characters that a terminal obeys. It names no file of ours."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = "".join(character if character.isprintable() else "?" for character in last)
    return shown[:LONGEST_NAME] or "upload"


@dataclass(frozen=True)
class Checksum:
    algorithm: str
    expected: bytes

    def begin(self) -> Any:
        return hashlib.new(self.algorithm, usedforsecurity=False)


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Return Upload-Checksum: an algorithm and a digest in base64. Raises UploadHeaderInvalid."""
    if (text := headers.get("upload-checksum")) is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm not in CHECKSUMS:
        raise UploadHeaderInvalid("Upload-Checksum", f"{algorithm[:40]!r} is none of {', '.join(CHECKSUMS)}")
    expected = _decode("Upload-Checksum", value)
    if len(expected) != hashlib.new(algorithm, usedforsecurity=False).digest_size:
        raise UploadHeaderInvalid("Upload-Checksum", f"the digest does not have the length of a {algorithm}")
    return Checksum(algorithm, expected)


def _decode(header: str, value: str) -> bytes:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise UploadHeaderInvalid(header, f"{value[:40]!r} is not base64") from None
