"""Many readers of one event stream in one process: `python -m benchmarks.api.readers PORT PATH ...`.

Prints `ready` once each reader has received the existing events. Then prints JSON: when each reader received each event
by the monotonic clock, which all processes of a machine share.
"""

import argparse
import asyncio
import contextlib
import json
import re
import time
from pathlib import Path

from benchmarks.api.processes import HOST

_IDS = re.compile(rb"^id: (\d+)$", re.MULTILINE)


class Reader(asyncio.Protocol):
    """One connection. `received` holds the times by event number, with repeated events too."""

    def __init__(self, path: str, last_event_id: int) -> None:
        self.received: dict[int, list[float]] = {}
        self.changed = asyncio.Event()
        self.begun = False
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n"
            f"Last-Event-ID: {last_event_id}\r\n\r\n"
        ).encode()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        whole, end, rest = (self._rest + data).rpartition(b"\n\n")
        self._rest = rest
        for number in _IDS.findall(whole + end):
            self.received.setdefault(int(number), []).append(now)
        # A running job's stream starts its news with the progress.
        self.begun = self.begun or b"event: progress" in whole
        self.changed.set()

    def connection_lost(self, _: Exception | None) -> None:
        self.changed.set()


async def read(arguments: argparse.Namespace) -> list[Reader]:
    loop = asyncio.get_running_loop()
    readers = []
    for _ in range(arguments.readers):
        _, reader = await loop.create_connection(
            lambda: Reader(arguments.path, arguments.last_event_id), HOST, arguments.port
        )
        readers.append(reader)
    await asyncio.gather(*(_until_begun(reader) for reader in readers))
    print("ready", flush=True)
    everything = asyncio.gather(*(_until_received(reader, arguments.until) for reader in readers))
    with contextlib.suppress(TimeoutError):  # missing events show in the result
        await asyncio.wait_for(everything, arguments.seconds)
    return readers


async def _until_begun(reader: Reader) -> None:
    while not reader.begun:
        reader.changed.clear()
        await reader.changed.wait()


async def _until_received(reader: Reader, last: int) -> None:
    while last not in reader.received:
        reader.changed.clear()
        await reader.changed.wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("path")
    parser.add_argument("--readers", type=int, required=True)
    parser.add_argument("--last-event-id", type=int, default=0)
    parser.add_argument("--until", type=int, required=True, help="number of the last event to wait for")
    parser.add_argument("--seconds", type=float, required=True, help="longest wait in seconds")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    readers = asyncio.run(read(arguments))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps([reader.received for reader in readers]))


if __name__ == "__main__":
    main()
