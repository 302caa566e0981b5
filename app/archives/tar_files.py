"""The entries of a tar file, compressed or not."""

import bz2
import gzip
import io
import lzma
import tarfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO, Protocol

from app.archives.entries import CHUNK, Entry
from app.archives.errors import ArchiveDamaged, ArchiveError, ArchiveLink, ArchiveSpecialFile
from app.archives.limits import Tally


class BinaryReader(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


_MOST_HEADER = 2**20
"""Bytes that tarfile reads at once: a long name, or the attributes of an entry."""

COMPRESSIONS: dict[bytes, Callable[[BinaryIO], BinaryReader]] = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\x00": lzma.LZMAFile,
}
"""What decompresses a file, by its first bytes."""

_UNREADABLE = (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError, OverflowError)


def tar_entries(content: BinaryReader, tally: Tally) -> Iterator[Entry]:
    """Yield the entries of the decompressed content. Raises ArchiveError."""
    name = None
    try:
        with _open_tar(_Counted(content, tally)) as archive:
            while (info := archive.next()) is not None:
                vars(archive)["members"] = []  # it would keep all of them
                name = info.name
                tally.add_entry()
                if info.issym() or info.islnk():
                    raise ArchiveLink(name)
                if info.issparse():
                    raise ArchiveSpecialFile(name, "a file with holes")
                if not (info.isreg() or info.isdir()):
                    raise ArchiveSpecialFile(name, "a device or a pipe")
                tally.refuse(tally.bytes + info.size)
                yield Entry(name, info.isdir(), info.size, partial(_read, archive, info))
                name = None
    except ArchiveError:
        raise
    except _UNREADABLE as error:
        raise ArchiveDamaged(name, str(error) or type(error).__name__) from None


def _open_tar(content: "_Counted") -> tarfile.TarFile:
    return tarfile.open(fileobj=content, mode="r:", encoding="utf-8", errors="surrogateescape")


def _read(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Iterator[bytes]:
    try:
        file = archive.extractfile(info)
        if file is None:
            raise ArchiveSpecialFile(info.name, "not a file")
        left = info.size
        while left and (chunk := file.read(min(left, CHUNK))):
            left -= len(chunk)
            yield chunk
    except _UNREADABLE as error:
        raise ArchiveDamaged(info.name, str(error) or type(error).__name__) from None
    if left:
        raise ArchiveDamaged(info.name, "the archive ends before the end of the file")


class _Counted(io.RawIOBase):
    """The decompressed archive, read forwards. Every byte of it counts, skipped or not."""

    def __init__(self, content: BinaryReader, tally: Tally) -> None:
        self._content = content
        self._tally = tally
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > _MOST_HEADER:
            raise ArchiveDamaged(None, f"it has a header of more than {_MOST_HEADER} bytes")
        parts = []
        while size and (part := self._content.read(size)):
            size -= len(part)
            self._position += len(part)
            self._tally.add_bytes(len(part))
            parts.append(part)
        return b"".join(parts)

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET or offset < self._position:
            raise ArchiveDamaged(None, "its entries are not one after the other")
        while self._position < offset and self.read(min(CHUNK, offset - self._position)):
            pass
        return self._position
