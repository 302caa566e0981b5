"""Sends GET requests to one path with wrk if installed, else with a small client in another process.

`python -m benchmarks.api.load PORT PATH --seconds S --connections N [--per-second R]` prints the requests per second.
"""

import argparse
import asyncio
import re
import shutil
import subprocess
import sys
import time

from benchmarks.api.processes import HOST

CONNECTIONS = 32


def client_name() -> str:
    return "wrk" if shutil.which("wrk") else "benchmarks.api.load"


def requests_per_second(port: int, path: str, seconds: int, connections: int) -> float:
    """Measure the throughput of GET requests. Raises RuntimeError for any response but 200."""
    wrk = shutil.which("wrk")
    if wrk is None:
        options = ["--seconds", str(seconds), "--connections", str(connections)]
        command = [sys.executable, "-m", "benchmarks.api.load", str(port), path, *options]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    command = [wrk, "-t1", f"-c{connections}", f"-d{seconds}s", f"http://{HOST}:{port}{path}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    found = re.search(r"Requests/sec:\s*([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


class _Connection(asyncio.Protocol):
    """Sends the next request after each response, or when `ask` is called."""

    def __init__(self, path: str, at_once: bool) -> None:
        self.answers = 0
        self.failure = ""
        self._request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
        self._at_once = at_once
        self._arrived = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._at_once:
            self.ask()

    def ask(self) -> None:
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        while (answer := self._next_answer()) is not None:
            if not answer.startswith(b"HTTP/1.1 200"):
                self.failure = answer.decode()
                self._transport.close()
                return
            self.answers += 1
            if self._at_once:
                self.ask()

    def _next_answer(self) -> bytes | None:
        """Return the head of the next complete response. Pipelined responses may arrive together."""
        head, end, body = self._arrived.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return None
        self._arrived = body[length:]
        return head

    def connection_lost(self, _: Exception | None) -> None:
        self.failure = self.failure or "the connection broke"


async def _load(arguments: argparse.Namespace) -> float:
    loop = asyncio.get_running_loop()
    at_once = arguments.per_second is None
    made = [
        await loop.create_connection(lambda: _Connection(arguments.path, at_once), HOST, arguments.port)
        for _ in range(arguments.connections)
    ]
    connections = [connection for _, connection in made]
    begun, before = time.monotonic(), sum(connection.answers for connection in connections)
    turn = 0
    while time.monotonic() < begun + arguments.seconds and not any(each.failure for each in connections):
        if at_once:
            await asyncio.sleep(arguments.seconds)
        else:
            connections[turn % len(connections)].ask()
            turn += 1
            await asyncio.sleep(max(0.0, begun + turn / arguments.per_second - time.monotonic()))
    answers, seconds = sum(connection.answers for connection in connections) - before, time.monotonic() - begun
    failures = [connection.failure for connection in connections if connection.failure]
    if failures:
        raise RuntimeError(failures[0])
    return answers / seconds


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--per-second", type=float)
    print(asyncio.run(_load(parser.parse_args())))


if __name__ == "__main__":
    main()
