"""The process that forks the children: `python -m app.isolated.server NAME DESCRIPTOR`. NAME is a key of WARM.

It imports what the tasks need once, and then does three things in one thread: it forks a child for each descriptor that
comes, kills the child whose caller closed the connection, and says how a child ended. It reads no file and no message
of a child. It ends, with all children, when the process that started it ends: its connection is closed then. One that
takes much memory also ends after a time without a call; the next call starts another.
"""

import gc
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from importlib import import_module

from app.isolated.child import become_child
from app.isolated.messages import Ended, encode

WARM: dict[str, tuple[str, ...]] = {
    "files": ("numpy", "app.checked_weights.task", "app.checked_weights.reading"),
    "recognition": (
        "numpy",
        "onnxruntime",
        "app.alignment.finder",
        "app.recognition.task",
        "app.recognition.reading",
    ),
}
"""Modules that the tasks of each server need, imported ahead."""

IDLE_SECONDS: dict[str, float] = {"recognition": 600.0}
"""After which a server without a call ends. The others run as long as the process that started them."""

_READ_BYTES = 4096


class Server:
    def __init__(self, calls: socket.socket, idle_seconds: float | None = None) -> None:
        self._calls = calls
        self._idle_seconds = idle_seconds
        self._connections: dict[int, socket.socket] = {}
        """The child's end of the connection, by the child's process id."""
        self._poll = select.poll()
        self._ended, signalled = socket.socketpair()
        for end in (self._ended, signalled):
            end.setblocking(False)
        self._signalled = signalled
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(signalled.fileno(), warn_on_full_buffer=False)

    def serve(self) -> None:
        """Until the caller's process ends, or, without a child, after the idle time."""
        self._poll.register(self._calls, select.POLLIN)
        self._poll.register(self._ended, select.POLLIN)
        while True:
            ready = self._poll.poll(None if self._idle_seconds is None else self._idle_seconds * 1000)
            if not ready and not self._connections:
                return None
            for descriptor, _ in ready:
                if descriptor == self._calls.fileno():
                    if not self._take_call():
                        return self._end_all()
                elif descriptor == self._ended.fileno():
                    self._ended.recv(_READ_BYTES)
                else:
                    self._kill_by(descriptor)
            self._reap()

    def _take_call(self) -> bool:
        """Fork a child for the next call. Return False where there is no caller any more."""
        try:
            said, descriptors, _, _ = socket.recv_fds(self._calls, 1, 1)
        except OSError:
            return False
        if not said:
            return False
        for descriptor in descriptors:
            connection = socket.socket(fileno=descriptor)
            try:
                pid = self._fork(connection)
            except OSError:  # no memory, or too many processes: the caller sees the connection closed
                connection.close()
                continue
            self._connections[pid] = connection
            self._poll.register(connection, 0)  # only for its end
        return True

    def _fork(self, connection: socket.socket) -> int:
        server = os.getpid()
        if (pid := os.fork()) == 0:
            become_child(connection, server)
        return pid

    def _kill_by(self, descriptor: int) -> None:
        for pid, connection in self._connections.items():
            if connection.fileno() == descriptor:
                self._poll.unregister(connection)
                _kill(pid)
                return

    def _reap(self) -> None:
        while self._connections:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return
            _kill(found.si_pid)  # what it may have started; before its id is free for another process
            _, status = os.waitpid(found.si_pid, 0)
            connection = self._connections.pop(found.si_pid)
            with suppress(KeyError):
                self._poll.unregister(connection)
            connection.setblocking(False)
            with suppress(OSError):
                # The child may have been killed within a line.
                connection.send(b"\n" + encode(Ended(exit_code=os.waitstatus_to_exitcode(status))))
            connection.close()

    def _end_all(self) -> None:
        for pid in self._connections:
            _kill(pid)


def _kill(pid: int) -> None:
    """The group of the child; the child alone where it has none yet."""
    for kill in (os.killpg, os.kill):
        with suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        # A service manager or a terminal may signal every process of the service at once: its end decides.
        signal.signal(number, signal.SIG_IGN)
    name, descriptor = sys.argv[1:]
    for module in WARM[name]:
        import_module(module)
    gc.collect()
    gc.freeze()  # children touch, and so copy, less of the memory that they share
    Server(socket.socket(fileno=int(descriptor)), IDLE_SECONDS.get(name)).serve()


if __name__ == "__main__":
    main()
