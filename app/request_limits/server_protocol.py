"""LimitedProtocol: uvicorn's HTTP protocol with deadlines, and with a limit of connections.

uvicorn has no deadline for the head or the body of a request, and accepts connections until descriptors run out
(docs/decisions/0028-deadlines-of-connections.md).
"""

import asyncio
import contextlib
import random
import socket
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from app.request_limits.errors import HeadersTooLarge
from app.request_limits.raw_problems import raw_problem
from app.request_limits.sizes import MOST_HEAD_BYTES

READ_BYTES = 32_768
"""Most bytes that are taken of a connection at once."""

SPREAD = 0.3
"""Share by which the deadline of a head is longer, at random."""

_Phase = Literal["request", "body", "answer"]


@dataclass(frozen=True)
class Deadlines:
    """Seconds. None of them limits an answer that the client takes, such as an event stream."""

    head: float = 10.0
    """From the first byte of a request, or from the connection, to the end of its headers."""
    body: float = 30.0
    """Between two parts of the body, and to its end, which `body_bytes_per_second` extends."""
    body_bytes_per_second: float = 1000.0
    """A body may take one more second for so many bytes that have arrived."""
    unread_body: float = 5.0
    """For the rest of a body after its request was answered: the client can read the answer meanwhile."""
    stuck: float = 120.0
    """A client that takes nothing of its answer for so long is disconnected."""


class Connections:
    """The connections of one server."""

    def __init__(self, most: int, deadlines: Deadlines) -> None:
        self.most = most
        self.deadlines = deadlines
        self.open: set[LimitedProtocol] = set()
        self.idle: OrderedDict[LimitedProtocol, None] = OrderedDict()
        """Those without a complete head of a request, the longest first."""

    def make_room(self) -> bool:
        """Close the connection that has waited longest for the head of a request, where there are too many. Return
        whether one more may stay."""
        if len(self.open) < self.most:
            return True
        if not self.idle:
            for slow in [each for each in self.open if each.sends_slowly()]:
                slow.give_up()
            return len(self.open) < self.most
        oldest, _ = self.idle.popitem(last=False)
        oldest.give_up()
        return True


def limited_protocol(connections: Connections) -> type[H11Protocol]:
    """Return the protocol class of a server, for `http` of uvicorn's Config."""
    return type("ServerProtocol", (LimitedProtocol,), {"shared": connections})


class LimitedProtocol(H11Protocol):
    """One connection."""

    shared: Connections

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._phase: _Phase = "answer"
        self._timer: asyncio.TimerHandle | None = None
        self._stuck_timer: asyncio.TimerHandle | None = None
        self._began = 0.0
        self._received = 0
        self._received_at = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if hasattr(transport, "max_size"):  # of asyncio: 256 KB at once, for each connection with a body
            transport.max_size = READ_BYTES
        has_room = self.shared.make_room()
        super().connection_made(transport)
        _notice_vanished_client(transport, self.shared.deadlines.stuck)
        self.shared.open.add(self)
        if has_room:
            self._begin("request", self.shared.deadlines.head)
        else:
            self._refuse(
                503, "too_many_connections", "the service has too many connections", "try again in a few seconds"
            )

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        self._received_at = self.loop.time()
        super().data_received(data)
        self._look_at_phase()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:
            self._begin("body", self.shared.deadlines.unread_body)
        else:
            self._look_at_phase()

    def send_400_response(self, msg: str) -> None:
        """Answer a request that h11 refused. Called where its exception is handled."""
        error = sys.exc_info()[1]
        status = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        if status == 431:
            too_large = HeadersTooLarge(MOST_HEAD_BYTES)
            self._refuse(431, too_large.code, too_large.message, too_large.hint)
        else:
            self._refuse(400, "http_invalid", f"{msg.rstrip('.')}: {error}", "send HTTP/1.1")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck_timer = self.loop.call_later(self.shared.deadlines.stuck, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None

    def sends_slowly(self) -> bool:
        """Return whether a body is expected of which nothing came for a second."""
        return self._phase == "body" and self.loop.time() - self._received_at > 1.0

    def give_up(self) -> None:
        """Close the connection at once."""
        self._forget()
        self._disconnect_request()
        self.transport.abort()

    def _look_at_phase(self) -> None:
        """Begin the phase that the connection is in, if it is another than before."""
        if self.transport.is_closing():
            return
        their_state = self.conn.their_state
        if their_state is h11.IDLE:
            if self.conn.trailing_data[0]:
                self._unset_keepalive_if_required()
            if self.timeout_keep_alive_task is not None:  # uvicorn closes it after a few seconds
                self._end_phase()
                self.shared.idle[self] = None
            elif self._phase != "request":
                self._begin("request", self.shared.deadlines.head)
        elif their_state is h11.SEND_BODY:
            if self._phase != "body":
                self._begin("body", self.shared.deadlines.body)
        else:
            self._end_phase()

    def _begin(self, phase: _Phase, seconds: float) -> None:
        self._end_phase()
        self._phase = phase
        self._began = self._received_at = self.loop.time()
        self._received = 0
        if phase == "request":
            self.shared.idle[self] = None
        # Connections that came together do not time out, and come again, together.
        spread = random.uniform(0.0, SPREAD) if phase == "request" else 0.0
        self._timer = self.loop.call_later(seconds * (1 + spread), self._time_is_over, seconds)

    def _end_phase(self) -> None:
        self._phase = "answer"
        self.shared.idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_is_over(self, seconds: float) -> None:
        if self.transport.is_closing():
            return
        if self._phase == "request" and not self.conn.trailing_data[0]:
            self.give_up()
            return
        if self._phase == "body" and not self.cycle.response_complete:
            now, earned = self.loop.time(), self._received / self.shared.deadlines.body_bytes_per_second
            left = seconds - max(now - self._received_at, now - self._began - earned)
            if self.flow.read_paused:  # the service does not read, so the client cannot send
                left = max(left, seconds)
            if left > 0:
                self._timer = self.loop.call_later(left, self._time_is_over, seconds)
                return
        what = "head" if self._phase == "request" else "body"
        self._refuse(408, "request_timeout", f"the {what} of the request came too slowly", "send it again")

    def _refuse(self, status: int, code: str, detail: str, hint: str) -> None:
        """Answer with a problem, unless an answer has begun, and close the connection."""
        begun = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        self._forget()
        self._disconnect_request()
        if not begun:
            with contextlib.suppress(h11.LocalProtocolError):  # h11 sends nothing more: the connection closes anyway
                for event in raw_problem(status, code, detail, hint):
                    self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _disconnect_request(self) -> None:
        """Tell the request that is being answered, if any, that its client is gone."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()

    def _forget(self) -> None:
        self._end_phase()
        self.shared.open.discard(self)
        if self._stuck_timer is not None:
            self._stuck_timer.cancel()
            self._stuck_timer = None


def _notice_vanished_client(transport: asyncio.Transport, seconds: float) -> None:
    """Let the kernel close a connection whose client vanished without a word, such as one of an event stream."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", max(1, round(seconds))), ("TCP_USER_TIMEOUT", int(1000 * seconds))):
        if (option := getattr(socket, name, None)) is not None:  # those of Linux
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
