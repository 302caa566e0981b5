"""The entries of a zip file."""

import lzma
import stat
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

from app.archives.entries import CHUNK, Entry
from app.archives.errors import ArchiveDamaged, ArchiveEncrypted, ArchiveLink, ArchiveSpecialFile
from app.archives.limits import Tally

_ENCRYPTED = 0x1 | 0x40 | 0x2000


def zip_entries(content: BinaryIO, tally: Tally) -> Iterator[Entry]:
    """Yield the entries. The sizes that the archive declares are checked before the first entry, and bound each entry.

    Raises ArchiveError.
    """
    try:
        archive = zipfile.ZipFile(content)
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, EOFError) as error:
        raise ArchiveDamaged(None, _reason(error)) from None
    with archive:
        infos = archive.infolist()
        for info in infos:
            tally.add_entry()
            tally.add_bytes(info.file_size)
        for info in infos:
            name = info.orig_filename  # without what zipfile makes of it
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.flag_bits & _ENCRYPTED:
                raise ArchiveEncrypted(name)
            if kind == stat.S_IFLNK:
                raise ArchiveLink(name)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveSpecialFile(name, "a device, a pipe or a socket")
            is_folder = name.endswith("/") or kind == stat.S_IFDIR
            yield Entry(name, is_folder, info.file_size, partial(_read, archive, info))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        EOFError,
        OSError,
    ) as error:
        raise ArchiveDamaged(info.orig_filename, _reason(error)) from None


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
