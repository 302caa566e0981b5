"""Deadlines and the limit of connections, over sockets to a real server."""

import contextlib
import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from app.client import Client
from app.main import create_app
from app.request_limits.descriptors import RESERVED, allowed_connections, backlog_of, raise_descriptor_limit
from app.request_limits.server_protocol import Connections, Deadlines, limited_protocol
from app.request_limits.sizes import MOST_HEAD_BYTES
from app.settings import Settings
from tests.integration.conftest import cancelling, submit

SHORT = Deadlines(head=0.2, body=0.2, body_bytes_per_second=1000.0, unread_body=0.2, stuck=0.3)
LONG = Deadlines(head=60.0, body=60.0, unread_body=60.0, stuck=60.0)
MOST = 20
GET_LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass
class Running:
    port: int
    connections: Connections
    app: Any

    @contextlib.contextmanager
    def connect(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            yield connection


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[dict[str, Running]]:
    folder = tmp_path_factory.mktemp("connections") / "var"
    folder.mkdir()
    (folder / "edgeface.sqlite").write_bytes(sqlite_template.read_bytes())
    settings = Settings(var_dir=folder)
    settings.make_directories()
    app = create_app(settings)
    started: dict[str, Running] = {}
    with contextlib.ExitStack() as stack:
        for name, deadlines in (("short", SHORT), ("long", LONG)):
            started[name] = stack.enter_context(_serve(app, deadlines))
        yield started


@contextlib.contextmanager
def _serve(app: Any, deadlines: Deadlines) -> Iterator[Running]:
    connections = Connections(MOST, deadlines)
    config = uvicorn.Config(
        app,
        http=limited_protocol(connections),
        ws="none",
        h11_max_incomplete_event_size=MOST_HEAD_BYTES,
        log_config=None,
        timeout_keep_alive=60,
        timeout_graceful_shutdown=5,
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield Running(listening.getsockname()[1], connections, app)
        finally:
            app.state.service.stopping.set()
            server.should_exit = True
            thread.join()


@pytest.fixture
def short(servers: dict[str, Running]) -> Running:
    return servers["short"]


@pytest.fixture
def long(servers: dict[str, Running]) -> Running:
    return servers["long"]


def everything(connection: socket.socket) -> bytes:
    """All that the server sends until it closes the connection."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while chunk := connection.recv(65536):
            received += chunk
    return received


def answer(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body of one answer with a Content-Length."""
    received = b""
    while b"\r\n\r\n" not in received:
        chunk = connection.recv(65536)
        assert chunk, received
        received += chunk
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), body


def is_problem(received: bytes, status: int, code: str) -> bool:
    head, _, body = received.partition(b"\r\n\r\n")
    problem = json.loads(body)
    return (
        head.startswith(f"HTTP/1.1 {status} ".encode())
        and b"application/problem+json" in head
        and problem["code"] == code
        and bool(problem["hint"])
    )


def test_a_connection_without_a_request_is_closed(short: Running) -> None:
    with short.connect() as connection:
        assert everything(connection) == b""


def test_a_head_that_is_dripped_is_answered_and_closed(short: Running) -> None:
    with short.connect() as connection:
        connection.sendall(GET_LIVE[:20])
        connection.settimeout(0.02)
        received = b""
        for byte in b"x" * 1000:  # each byte comes long before the deadline
            with contextlib.suppress(TimeoutError):
                if received := connection.recv(65536):
                    break
            connection.sendall(bytes([byte]))
        connection.settimeout(10)
        received += everything(connection)
        assert is_problem(received, 408, "request_timeout")


@pytest.mark.parametrize("length", [b"Content-Length: 50", b"Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_answered_and_closed(short: Running, length: bytes) -> None:
    head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + length + b"\r\n\r\n"
    with short.connect() as connection:
        connection.sendall(head)
        assert is_problem(everything(connection), 408, "request_timeout")


def test_a_body_that_comes_in_parts_is_read_however_long_it_takes(short: Running) -> None:
    body = b'{"dataset": "none"' + b" " * 2000 + b"}"
    with short.connect() as connection:
        connection.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 200):  # 0.5 s in all: longer than one deadline, faster than 1000 bytes/s
            connection.sendall(body[start : start + 200])
            time.sleep(0.05)
        assert answer(connection)[0] == 422


def test_a_body_that_is_refused_is_not_taken_for_ever(short: Running) -> None:
    with short.connect() as connection:
        connection.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000000\r\n\r\n" + b"x" * 1000)
        status, body = answer(connection)
        assert (status, json.loads(body)["code"]) == (413, "body_too_large")
        assert everything(connection) == b""


def test_a_kept_connection_takes_one_request_after_the_other(short: Running) -> None:
    with short.connect() as connection:
        for _ in range(3):
            connection.sendall(GET_LIVE)
            assert answer(connection) == (200, b'{"live":true}')
            time.sleep(0.3)  # longer than the deadline of a head: none has begun
        connection.sendall(GET_LIVE * 2 + GET_LIVE[:10])
        assert [answer(connection)[0]] == [200]
        assert b"408" in everything(connection)


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * MOST_HEAD_BYTES, 431, "headers_too_large"),
        (b"nonsense\r\n\r\n", 400, "http_invalid"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "http_invalid"),
    ],
    ids=["large", "nonsense", "two hosts"],
)
def test_a_request_that_cannot_be_read_is_a_problem(long: Running, request_: bytes, status: int, code: str) -> None:
    with long.connect() as connection:
        connection.sendall(request_)
        assert is_problem(everything(connection), status, code)


def test_an_event_stream_stays_open_past_all_deadlines(short: Running) -> None:
    job = cancelling(short.app.state.service.database).job_id
    with short.connect() as connection:
        connection.sendall(
            f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
        )
        received = b""
        while b"event: status" not in received:
            received += connection.recv(65536)
        time.sleep(0.4)  # longer than each deadline
        connection.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            while chunk := connection.recv(65536):
                received += chunk
            pytest.fail("the stream was closed")
        assert b"text/event-stream" in received


def test_half_sent_requests_give_way_to_others(long: Running) -> None:
    job = submit(long.app.state.service.database)
    with contextlib.ExitStack() as stack:
        for _ in range(5 * MOST):
            stack.enter_context(long.connect()).sendall(GET_LIVE[:20])
        for path in ("/health/live", f"/jobs/{job}", "/jobs"):
            connection = stack.enter_context(long.connect())
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert answer(connection)[0] == 200
        assert len(long.connections.open) <= MOST


def test_half_sent_bodies_give_way_to_others(long: Running) -> None:
    head = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{"
    with contextlib.ExitStack() as stack:
        stalled = [stack.enter_context(long.connect()) for _ in range(MOST)]
        for connection in stalled:
            connection.sendall(head)
        while sum(each.sends_slowly() for each in list(long.connections.open)) < MOST:
            time.sleep(0.05)
        connection = stack.enter_context(long.connect())
        connection.sendall(GET_LIVE)
        assert answer(connection)[0] == 200


def test_a_server_at_work_on_all_connections_refuses_one_more(long: Running) -> None:
    job = cancelling(long.app.state.service.database).job_id
    stream = f"GET /jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(MOST):
            connection = stack.enter_context(long.connect())
            connection.sendall(stream)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        refused = everything(stack.enter_context(long.connect()))
        assert is_problem(refused, 503, "too_many_connections")
        assert b"retry-after" in refused.lower()


def test_a_client_that_takes_nothing_is_disconnected(short: Running) -> None:
    with short.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(100):
                connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        while short.connections.open:
            time.sleep(0.05)


def test_a_client_comes_back_when_it_may(short: Running) -> None:
    settings = short.app.state.service.settings.model_copy(update={"rate_of_reads": "3/second"})
    with _serve(create_app(settings), LONG) as limited, Client(f"http://127.0.0.1:{limited.port}") as client:
        assert [client.list().jobs is not None for _ in range(5)] == [True] * 5


def test_the_limit_of_open_files_is_raised_and_leaves_room(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1024, hard), hard))
        raised = raise_descriptor_limit()
        assert raised == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert raised >= min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with caplog.at_level(logging.WARNING):
        assert allowed_connections(4096, 65_536) == 4096
        assert not caplog.records
        allowed = allowed_connections(4096, 2048)
    assert 2 * allowed + RESERVED + backlog_of(2048) <= 2048
    assert "ulimit -n" in caplog.text
