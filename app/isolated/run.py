"""Runs a task in a child of a server that this process starts once."""

import atexit
import logging
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from app.finetune.errors import EdgefaceError, printable
from app.isolated import messages
from app.isolated.errors import (
    AnswersTooMuch,
    NeedsTooMuchMemory,
    ReadCancelled,
    ReaderCrashed,
    ReadersBusy,
    ReadersUnavailable,
    TakesTooLong,
    WritesTooMuch,
)
from app.isolated.task import FileRequest, Limits, Progress, Task

_log = logging.getLogger(__name__)

_START_SECONDS = 60.0
"""For the server's imports, on a busy machine."""
_TRIES = 3
_LOOK_SECONDS = 0.1
_READ_BYTES = 2**16
_END_SECONDS = 5.0
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
"""Of the environment: nothing that is secret."""

_Request = TypeVar("_Request", bound=FileRequest)
_Result = TypeVar("_Result", bound=BaseModel)


def run(
    task: Task[_Request, _Result],
    request: _Request,
    *,
    limits: Limits | None = None,
    on_progress: Progress = lambda _done, _total: None,
    cancelled: Callable[[], bool] = lambda: False,
) -> _Result:
    """Run the task in a child, in any thread, and return its result. The child is killed whenever this function ends.

    `limits` replaces the task's own. `cancelled` is asked ten times a second.

    Raises the errors of the task, LimitExceeded, ReadersBusy, ReadersUnavailable and ReadCancelled.
    """
    limits = limits or task.limits
    order = messages.Order(task=task.name, request=request.model_dump(mode="json"), limits=limits)
    with _slot(task, request.path, limits.wall_seconds, cancelled):
        for _ in range(_TRIES):
            with suppress(_NoChild), _call(task.server) as connection:
                conversation = _Conversation(connection, request.path, limits, cancelled)
                conversation.say(order)
                return _result(conversation.listen(on_progress), task, request.path, limits)
    raise ReadersUnavailable(request.path, "the server of such processes ends at once, or cannot fork")


def warm_up(server: str = "files") -> None:
    """Start the server, so that the first task need not wait for its imports. Returns at once."""
    with suppress(OSError), _running.lock:
        if server not in _running.servers:
            _running.servers[server] = _ServerProcess(server)


class _NoChild(Exception):
    """The connection ended without a word about how: the server was killed, or could not fork."""


class _Conversation:
    """What is said between this process and one child."""

    def __init__(self, connection: socket.socket, path: Path, limits: Limits, cancelled: Callable[[], bool]) -> None:
        self._connection = connection
        self._path = path
        self._limits = limits
        self._cancelled = cancelled
        self._deadline = time.monotonic() + _START_SECONDS
        self._has_begun = False
        self._heard = bytearray()
        self._bytes = 0

    def say(self, order: messages.Order) -> None:
        try:
            self._connection.sendall(messages.encode(order))
        except OSError:
            raise _NoChild from None

    def listen(self, on_progress: Progress) -> messages.Message:
        """Return the last message: the first that is neither `Began` nor `Advanced`."""
        while True:
            match message := self._next():
                case messages.Began():
                    self._has_begun = True
                    self._deadline = time.monotonic() + self._limits.wall_seconds
                case messages.Advanced():
                    on_progress(message.done, message.total)
                case _:
                    return message

    def _next(self) -> messages.Message:
        while True:
            line, found, rest = self._heard.partition(b"\n")
            if not found:
                self._hear()
                continue
            self._heard = rest
            if line:
                try:
                    return messages.decode(bytes(line))
                except ValueError:  # a child that was killed while it said something; its end follows
                    continue

    def _hear(self) -> None:
        """Wait for further bytes. Raises _NoChild, ReadCancelled, TakesTooLong and AnswersTooMuch."""
        waiting = select.poll()  # unlike select, it takes descriptors above 1,024
        waiting.register(self._connection, select.POLLIN)
        while True:
            heard = waiting.poll(_LOOK_SECONDS * 1000)
            if self._cancelled():
                raise ReadCancelled(self._path)
            if time.monotonic() > self._deadline:
                if not self._has_begun:
                    raise ReadersUnavailable(self._path, f"no process began to read it within {_START_SECONDS:g} s")
                raise TakesTooLong(self._path, self._limits.wall_seconds)
            if heard:
                break
        try:
            part = self._connection.recv(_READ_BYTES)
        except OSError:
            part = b""
        if not part:
            if self._has_begun:  # what the task did so far must not happen twice
                raise ReadersUnavailable(self._path, "its process was killed with the server of all such processes")
            raise _NoChild
        self._bytes += len(part)
        if self._bytes > self._limits.answer_bytes:
            raise AnswersTooMuch(self._path, self._limits.answer_bytes)
        self._heard += part


def _result(message: messages.Message, task: Task[_Request, _Result], path: Path, limits: Limits) -> _Result:
    if not isinstance(message, messages.Done):
        raise _error_of(message, task, path, limits)
    try:
        return task.result.model_validate(message.result)
    except ValidationError:
        raise ReaderCrashed(path, "it answered with something else") from None


def _error_of(message: messages.Message, task: Task[_Request, _Result], path: Path, limits: Limits) -> EdgefaceError:
    match message:
        case messages.Refused():
            return _refusal(message, task) or ReaderCrashed(path, message.code)
        case messages.Exceeded(limit="memory"):
            return NeedsTooMuchMemory(path, limits.memory_bytes)
        case messages.Exceeded():
            return WritesTooMuch(path, limits.written_file_bytes)
        case messages.Crashed():
            _log.error("%s of %s: %s\n%s", task.name, printable(path), message.error, message.traceback)
            return ReaderCrashed(path, message.error)
        case messages.Ended():
            return _error_of_end(message.exit_code, path, limits)
    raise AssertionError(message)


def _error_of_end(exit_code: int, path: Path, limits: Limits) -> EdgefaceError:
    if exit_code == -signal.SIGXCPU:
        return TakesTooLong(path, limits.cpu_seconds)
    if exit_code == -signal.SIGKILL:  # nobody else kills it: the machine ran out of memory
        return NeedsTooMuchMemory(path, limits.memory_bytes)
    named = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
    return ReaderCrashed(path, named)


def _refusal(refused: messages.Refused, task: Task[_Request, _Result]) -> EdgefaceError | None:
    """The error that the child raised, by its code."""
    for kind in _with_subclasses(task.errors):
        if kind.code == refused.code:
            error = kind.__new__(kind)
            EdgefaceError.__init__(error, refused.message, refused.hint)
            return error
    return None


def _with_subclasses(kinds: tuple[type[EdgefaceError], ...]) -> Iterator[type[EdgefaceError]]:
    for kind in kinds:
        yield kind
        yield from _with_subclasses(tuple(kind.__subclasses__()))


# One server of each name for each process, and one bound for each task in it.


class _Running:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.slots: dict[str, threading.BoundedSemaphore] = {}
        self.servers: dict[str, _ServerProcess] = {}


class _ServerProcess:
    def __init__(self, name: str) -> None:
        self.calls, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-P", "-m", "app.isolated.server", name, str(theirs.fileno())],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def call(self, connection: socket.socket) -> None:
        """Raises OSError where the server is gone."""
        socket.send_fds(self.calls, [messages.DESCRIPTOR_BYTE], [connection.fileno()])

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def end(self) -> None:
        """It ends, with all children, once the connection is closed."""
        self.calls.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


_running = _Running()


@contextmanager
def _slot(
    task: Task[_Request, _Result], path: Path, most_seconds: float, cancelled: Callable[[], bool]
) -> Iterator[None]:
    with _running.lock:
        slots = _running.slots.setdefault(task.name, threading.BoundedSemaphore(task.at_once))
    deadline = time.monotonic() + most_seconds
    while not slots.acquire(timeout=_LOOK_SECONDS):
        if cancelled():
            raise ReadCancelled(path)
        if time.monotonic() > deadline:
            raise ReadersBusy(path, task.at_once)
    try:
        yield
    finally:
        slots.release()


@contextmanager
def _call(server: str) -> Iterator[socket.socket]:
    """Yield a connection to a new child, which is killed when the block ends. Raises _NoChild."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            try:
                _call_server(server, theirs)
            except OSError as error:
                _log.warning("no process starts that reads files: %s", error)
                raise _NoChild from None
        yield ours


def _call_server(name: str, connection: socket.socket) -> None:
    """Raises OSError."""
    with _running.lock:
        server = _running.servers.get(name)
        if server is not None and server.has_ended():
            _running.servers.pop(name).end()
            server = None
        server = _running.servers[name] = server or _ServerProcess(name)
        try:
            server.call(connection)
        except OSError:
            _running.servers.pop(name).end()
            raise


def _end_server() -> None:
    with _running.lock:
        servers, _running.servers = _running.servers, {}
    for server in servers.values():
        server.end()


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    paths = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    # One thread: the server forks, and a child needs no other.
    return kept | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _begin_anew() -> None:
    """In a fork of this process, which has its own children."""
    global _running
    servers, _running = _running.servers, _Running()
    for server in servers.values():
        server.calls.close()


atexit.register(_end_server)
os.register_at_fork(after_in_child=_begin_anew)
