"""Unpacks an archive into an empty folder. Nothing of the archive is trusted."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from app.archives.entries import Entry
from app.archives.errors import ArchiveDamaged, ArchiveFormatUnknown, ArchiveWithoutImages
from app.archives.limits import ArchiveLimits, Tally
from app.archives.names import EntryNames, is_system_file, refuse_archive_content, refuse_archive_name
from app.archives.tar_files import COMPRESSIONS, tar_entries
from app.archives.zip_files import zip_entries

_START = 512
_OTHERS = {b"7z\xbc\xaf\x27\x1c": "a 7z file", b"Rar!": "a RAR file", b"\x28\xb5\x2f\xfd": "a zstd file"}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")

Progress = Callable[[float], None]
"""Called with the part of the archive that was read, 0 to 1."""


@dataclass(frozen=True)
class Unpacked:
    """The files that were written, their bytes, and the number of those that were left out."""

    files: int
    bytes: int
    left_out: int


def unpack(
    archive: Path,
    folder: Path,
    limits: ArchiveLimits,
    *,
    wanted: Callable[[str], bool],
    progress: Progress = lambda _: None,
) -> Unpacked:
    """Write the files of the archive whose names are `wanted` into the empty `folder`, with mode 0600.

    Files that computers add by themselves, such as `__MACOSX`, are left out. If it raises, `folder` has to be deleted.
    Raises ArchiveError.
    """
    names = EntryNames()
    files = written = left_out = 0
    with archive.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        tally = Tally(limits, size)
        for entry in _entries(opened, tally):
            progress(min(1.0, opened.tell() / max(1, size)))
            parts = names.parts(entry.name, is_folder=entry.is_folder)
            if entry.is_folder or not parts:
                continue
            if is_system_file(parts):
                left_out += 1
                continue
            refuse_archive_name(entry.name)
            if not wanted(parts[-1]):
                left_out += 1
                continue
            written += _write(entry, folder.joinpath(*parts))
            files += 1
    if not files:
        raise ArchiveWithoutImages(tally.entries)
    return Unpacked(files, written, left_out)


def _write(entry: Entry, path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    written = 0
    with open(descriptor, "wb") as file:  # noqa: PTH123 - of a descriptor
        for chunk in entry.read():
            if not written:
                refuse_archive_content(entry.name, chunk[:_START])
            file.write(chunk)
            written += len(chunk)
    return written


def _entries(archive: BinaryIO, tally: Tally) -> Iterator[Entry]:
    start = archive.read(_START)
    archive.seek(0)
    if not start:
        raise ArchiveDamaged(None, "it is empty")
    if start.startswith(_ZIP):
        return zip_entries(archive, tally)
    if (
        decompress := next((each for magic, each in COMPRESSIONS.items() if start.startswith(magic)), None)
    ) is not None:
        return tar_entries(decompress(archive), tally)
    if start[257:262] == b"ustar":
        return tar_entries(archive, tally)
    known = next((what for magic, what in _OTHERS.items() if start.startswith(magic)), None)
    raise ArchiveFormatUnknown(known or "no archive that is known here")
