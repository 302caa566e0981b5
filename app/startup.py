"""What has to hold before a process of the service starts. Each trouble is one error; starting again mends none."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from app.exit_status import CANNOT_START
from app.finetune.errors import Blame, EdgefaceError
from app.settings import Settings

_LOCK = "serve.lock"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class CannotStart(EdgefaceError):
    code = "cannot_start"
    exit_status = CANNOT_START


class FolderNotWritable(CannotStart):
    code = "folder_not_writable"

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(
            f"{folder} cannot be written: {reason}",
            "give it to the service's user (uid 10001 in the container images), on a disk that is not mounted "
            "read-only, or set EDGEFACE_VAR_DIR to another folder",
        )


class AddressUnavailable(CannotStart):
    code = "address_unavailable"
    blame: Blame = "request"

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"the API cannot listen on {host}:{port}: {reason}",
            "choose another address by --host and --port, or end the program that listens there: "
            f"`ss -ltnp 'sport = :{port}'` shows it",
        )


class AlreadyServed(CannotStart):
    code = "already_served"

    def __init__(self, var_dir: Path, process: str) -> None:
        super().__init__(
            f"edgeface-finetune serve runs on {var_dir} already{process}",
            "end it first, or set EDGEFACE_VAR_DIR to another folder; `edgeface-finetune worker` adds a worker to a "
            "service that runs",
        )


def prepare_folders(settings: Settings, *, trains: bool) -> None:
    """Make the service's folders. `trains`: those that a worker writes count too. Raises FolderNotWritable."""
    try:
        settings.make_directories()
    except OSError as error:
        raise FolderNotWritable(Path(error.filename or settings.var_dir), error.strerror or str(error)) from None
    for folder in _written(settings, trains=trains):
        try:
            with TemporaryFile(dir=folder):  # a question to the system, unlike a look at modes, counts everything
                pass
        except OSError as error:
            if error.errno not in _FULL:  # the service runs on, and jobs wait for space
                raise FolderNotWritable(folder, error.strerror or str(error)) from None


def check_address(host: str, port: int) -> None:
    """Raise AddressUnavailable unless a process can listen there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, _, _, address = found[0]
        with socket.socket(family, kind) as bound:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(address)
            bound.listen(1)  # two programs may bind an address, of which none listens
    except (OSError, OverflowError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise AddressUnavailable(host, port, reason or str(error)) from None


@contextmanager
def only_serve(var_dir: Path) -> Iterator[None]:
    """Hold the folder for one `serve` while the block runs. Raises AlreadyServed."""
    with (var_dir / _LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read(20).strip()
            raise AlreadyServed(var_dir, f" (process {holder})" if holder.isdigit() else "") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _written(settings: Settings, *, trains: bool) -> Sequence[Path]:
    if trains:
        return settings.var_dir, settings.artifacts_dir, settings.prepared_dir
    in_files = not settings.broker_url or settings.database_url.startswith("sqlite")
    return (settings.var_dir,) if in_files else ()
