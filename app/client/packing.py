"""A file or a folder as the bytes that an upload sends. A folder is a tar file, which is made while it is read."""

import hashlib
import os
import stat
import tarfile
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.client.errors import UploadUnreadable

_END_OF_TAR = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class _Entry:
    """A file, from byte `start` of all bytes on. `name` is that in the tar file; None: the file itself is sent."""

    start: int
    path: Path
    name: str | None
    size: int
    modified_ns: int

    @property
    def header(self) -> bytes:
        """Without owner, mode and time: two readings of the folder are equal."""
        if self.name is None:
            return b""
        info = tarfile.TarInfo(self.name)
        info.size = self.size
        return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")

    @property
    def padding(self) -> int:
        return 0 if self.name is None else -self.size % tarfile.BLOCKSIZE


class Packed:
    """`name` is what the upload is called, `length` its number of bytes. `identity` changes with the path, and with the
    name, the size and the modification time of each file.

    Hidden files and folders of a folder are left out. Links are followed, unless they lead back up.
    """

    def __init__(self, path: Path) -> None:
        """Raises UploadUnreadable."""
        path = path.absolute()
        found = _status(path)
        self._entries: list[_Entry] = []
        self._end = b""
        if stat.S_ISDIR(found.st_mode):
            self.name = f"{path.resolve().name or 'folder'}.tar"
            self._end = _END_OF_TAR
            self.length = self._add_folder(path)
        else:
            self.name = path.name
            self._entries.append(_Entry(0, path, None, found.st_size, found.st_mtime_ns))
            self.length = found.st_size
        digest = hashlib.sha256(os.fsencode(path))
        for entry in self._entries:
            digest.update(f"\0{entry.name}\0{entry.size}\0{entry.modified_ns}".encode("utf-8", "surrogateescape"))
        self.identity = digest.hexdigest()

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes from `offset` on, `size` of them or those up to the end.

        Raises UploadUnreadable, also for a file that changed since it was listed.
        """
        parts, missing = [], min(size, self.length - offset)
        index = max(0, bisect_right(self._entries, offset, key=lambda entry: entry.start) - 1)
        while missing > 0:
            if index < len(self._entries):
                entry = self._entries[index]
                part = _read_entry(entry, offset - entry.start, missing)
            else:
                part = self._end[len(self._end) - (self.length - offset) :][:missing]
            parts.append(part)
            offset, missing, index = offset + len(part), missing - len(part), index + 1
        return b"".join(parts)

    def _add_folder(self, folder: Path) -> int:
        start = 0
        for path, found in _files(folder, ()):
            entry = _Entry(start, path, path.relative_to(folder).as_posix(), found.st_size, found.st_mtime_ns)
            self._entries.append(entry)
            start += len(entry.header) + entry.size + entry.padding
        if not self._entries:
            raise UploadUnreadable(f"{folder} has no file", "name a folder with a folder of photos for each person")
        return start + len(self._end)


def _files(folder: Path, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the regular files below the folder, in the order of their names. `above` are the folders around it."""
    here = _status(folder)
    above = (*above, (here.st_dev, here.st_ino))
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - names alone
    except OSError as error:
        raise UploadUnreadable.because(folder, error) from None
    for name in names:
        path = folder / name
        found = _status(path)
        if stat.S_ISDIR(found.st_mode):
            if (found.st_dev, found.st_ino) not in above:
                yield from _files(path, above)
        else:
            yield path, found


def _status(path: Path) -> os.stat_result:
    try:
        found = path.stat()
    except OSError as error:
        raise UploadUnreadable.because(path, error) from None
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise UploadUnreadable(f"{path} is neither a file nor a folder", "move it out of the folder")
    return found


def _read_entry(entry: _Entry, begin: int, most: int) -> bytes:
    """Return at most `most` bytes of the entry from its byte `begin` on."""
    header = entry.header
    part = header[begin : begin + most]
    begin = max(0, begin - len(header))
    if len(part) < most and (begin < entry.size or begin == entry.size == 0):
        part += _read_file(entry, begin, min(most - len(part), entry.size - begin))
        begin = entry.size
    end = max(0, begin - entry.size)
    return part + bytes(max(0, min(most - len(part), entry.padding - end)))


def _read_file(entry: _Entry, begin: int, size: int) -> bytes:
    try:
        with entry.path.open("rb") as file:
            found = os.fstat(file.fileno())
            file.seek(begin)
            content = file.read(size)
    except OSError as error:
        raise UploadUnreadable.because(entry.path, error) from None
    if (found.st_size, found.st_mtime_ns, len(content)) != (entry.size, entry.modified_ns, size):
        raise UploadUnreadable(
            f"{entry.path} changed while it was sent", "wait until nothing writes to it, then run the command again"
        )
    return content
