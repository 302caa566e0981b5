"""What runs in a child: it takes one order, limits itself, runs the task, says how it went, and ends."""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import time
import traceback
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

from pydantic import BaseModel

from app.finetune.errors import EdgefaceError, printable
from app.isolated import messages
from app.isolated.task import Limits, Task

_ORDER_BYTES = 2**20
_MOST_TRACEBACK = 4000
_SECONDS_BETWEEN_PROGRESS = 0.2
_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

_MEMORY = messages.encode(messages.Exceeded(limit="memory"))
"""Encoded ahead: when memory has run out, nothing can be encoded."""


def become_child(connection: socket.socket, server: int) -> NoReturn:
    """Turn a fresh fork of the server, whose process id is `server`, into a child with a process group of its own."""
    try:
        os.setsid()
        _end_with(server)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _close_all_but(connection.fileno())
        _run(connection)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _end_with(server: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "prctl"):
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if os.getppid() != server:  # it ended before the call
        os._exit(1)


def _close_all_but(connection: int) -> None:
    """Close the server's connections, and let the child read and print nothing of the terminal."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.closerange(3, connection)
    os.closerange(connection + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _run(connection: socket.socket) -> None:
    try:
        line = messages.encode(_answer(connection))
    except MemoryError:
        line = _MEMORY
    except EdgefaceError as error:
        line = messages.encode(messages.Refused(code=error.code, message=error.message, hint=error.hint))
    except OSError as error:
        line = messages.encode(messages.Exceeded(limit="file") if error.errno == errno.EFBIG else _crashed(error))
    except Exception as error:
        line = messages.encode(_crashed(error))
    connection.sendall(line)


def _answer(connection: socket.socket) -> messages.Done:
    order = messages.Order.model_validate_json(_read_line(connection))
    task: Task[Any, Any] = resolve_name(order.task)
    function, request = resolve_name(task.run), task.request.model_validate(order.request)
    _limit(order.limits)
    connection.sendall(messages.encode(messages.Began(pid=os.getpid())))
    return messages.Done(result=_plain(function(request, _Progress(connection))))


def _plain(result: BaseModel) -> dict[str, Any]:
    """As JSON has it."""
    plain: dict[str, Any] = json.loads(result.model_dump_json())
    return plain


def _crashed(error: Exception) -> messages.Crashed:
    text = "".join(traceback.format_exception(error, limit=-20))
    return messages.Crashed(error=type(error).__name__, traceback=printable(text)[-_MOST_TRACEBACK:])


def _read_line(connection: socket.socket) -> bytes:
    """Raises EOFError if the caller is gone."""
    line = bytearray()
    while not line.endswith(b"\n"):
        if not (part := connection.recv(_ORDER_BYTES)):
            raise EOFError
        line += part
    return bytes(line)


def _limit(limits: Limits) -> None:
    address_space = _address_space()
    for name, most in {
        resource.RLIMIT_AS: address_space + limits.memory_bytes,
        resource.RLIMIT_FSIZE: limits.written_file_bytes,
        resource.RLIMIT_NOFILE: limits.open_files,
        resource.RLIMIT_CORE: 0,
    }.items():
        _set(name, most, most)
    used = int(time.process_time())
    _set(resource.RLIMIT_CPU, used + limits.cpu_seconds, used + limits.cpu_seconds + 1)


def _set(name: int, soft: int, hard: int) -> None:
    """Never above the hard limit that the process has already."""
    _, most = resource.getrlimit(name)
    if most != resource.RLIM_INFINITY:
        soft, hard = min(soft, most), min(hard, most)
    resource.setrlimit(name, (soft, hard))


def _address_space() -> int:
    """Bytes that this process has mapped."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return pages * resource.getpagesize()


class _Progress:
    """Sends a message now and then, and always the last."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sent_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._sent_at > _SECONDS_BETWEEN_PROGRESS or done == total:
            self._sent_at = now
            self._connection.sendall(messages.encode(messages.Advanced(done=done, total=total)))
