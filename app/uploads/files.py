"""The file of an upload: its size on the disk is the upload's offset, whatever happens to the process."""

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.finetune.atomic import atomic_file, sync
from app.uploads.errors import UploadBusy, UploadDiskFull, UploadNotFound

_UNCHECKED = ".unchecked"


class UploadFile:
    """The bytes of one upload in `folder`. One writer at a time, over all processes of the machine."""

    def __init__(self, folder: Path, upload_id: str) -> None:
        self.upload_id = upload_id
        self.path = folder / upload_id
        self._unchecked = folder / f"{upload_id}{_UNCHECKED}"

    def create(self) -> None:
        """Raises UploadDiskFull."""
        with _disk_full_named():
            os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            sync(self.path.parent)

    def offset(self) -> int:
        """Return the number of bytes that are on the disk for good: without those of a part whose checksum was not
        compared yet. Raises UploadNotFound."""
        descriptor = self._open(os.O_RDONLY)
        try:
            os.fsync(descriptor)
            size = os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
        checked = self._read_checked()
        return size if checked is None else min(size, checked)

    def open_writer(self) -> "UploadWriter":
        """Raises UploadNotFound, and UploadBusy where another writer is open."""
        descriptor = self._open(os.O_WRONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise UploadBusy(self.upload_id) from None
        checked = self._read_checked()
        if checked is not None:
            os.ftruncate(descriptor, min(os.fstat(descriptor).st_size, checked))
            os.fsync(descriptor)
            self._unchecked.unlink(missing_ok=True)
        return UploadWriter(descriptor, self._unchecked)

    def delete(self) -> None:
        self.path.unlink(missing_ok=True)
        self._unchecked.unlink(missing_ok=True)

    def _open(self, flags: int) -> int:
        try:
            descriptor = os.open(self.path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            raise UploadNotFound(self.upload_id) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UploadNotFound(self.upload_id)
        return descriptor

    def _read_checked(self) -> int | None:
        try:
            return int(self._unchecked.read_text())
        except FileNotFoundError:
            return None


class UploadWriter:
    """Appends to the file. Close it. Not thread-safe."""

    def __init__(self, descriptor: int, unchecked: Path) -> None:
        self._descriptor = descriptor
        self._unchecked = unchecked
        self.offset = os.lseek(descriptor, 0, os.SEEK_END)

    def begin_unchecked(self) -> None:
        """Count none of the bytes that follow before `accept`: a process that is killed before leaves them uncounted.

        Raises UploadDiskFull.
        """
        with _disk_full_named(), atomic_file(self._unchecked) as file:
            file.write(str(self.offset).encode())

    def write(self, content: bytes) -> None:
        """Raises UploadDiskFull; what fitted stays."""
        view = memoryview(content)
        with _disk_full_named():
            while view:
                written = os.write(self._descriptor, view)
                view = view[written:]
                self.offset += written

    def sync(self) -> None:
        """Raises UploadDiskFull."""
        with _disk_full_named():
            os.fsync(self._descriptor)

    def accept(self) -> None:
        """Count the bytes since `begin_unchecked`."""
        self.sync()
        self._unchecked.unlink(missing_ok=True)

    def cut(self, offset: int) -> None:
        """Drop what follows `offset`."""
        os.ftruncate(self._descriptor, offset)
        self.offset = os.lseek(self._descriptor, offset, os.SEEK_SET)
        os.fsync(self._descriptor)
        self._unchecked.unlink(missing_ok=True)

    def close(self) -> None:
        os.close(self._descriptor)


@contextmanager
def _disk_full_named() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UploadDiskFull from None
        raise
