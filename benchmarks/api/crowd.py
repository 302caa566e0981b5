"""A crowd in one process: `python -m benchmarks.api.crowd PORT STREAM --readers N --half-sent N --uploads N ...`.

Readers stream events, half-sent requests stall after their first line, uploads send 1 MB by tus, and four clients list
jobs without pause. Writes JSON.
"""

import argparse
import asyncio
import base64
import contextlib
import json
import resource
from pathlib import Path
from typing import Any

from benchmarks.api.processes import HOST

UPLOAD_BYTES = 1_000_000
LISTS_AT_ONCE = 4
PAUSE_SECONDS = 0.1
PATIENCE_SECONDS = 10.0


class Crowd:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.port = arguments.port
        self.stream = arguments.stream
        self.arguments = arguments
        self.lists = self.refused = self.served = self.uploaded = 0
        self.half_sent: list[asyncio.StreamWriter] = []

    async def run(self) -> dict[str, Any]:
        arguments = self.arguments
        tasks = [
            *(self._read_events() for _ in range(arguments.readers)),
            *(self._send_half() for _ in range(arguments.half_sent)),
            *(self._upload(number) for number in range(arguments.uploads)),
            *(self._list() for _ in range(LISTS_AT_ONCE)),
        ]
        running = [asyncio.create_task(each) for each in tasks]
        await asyncio.sleep(arguments.seconds)
        still_open = sum(not each.is_closing() for each in self.half_sent)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return {
            "lists_answered": self.lists,
            "lists_refused": self.refused,
            "readers_served": self.served,
            "uploads_ended": self.uploaded,
            "half_sent_open": still_open,
        }

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port)

    async def _read_events(self) -> None:
        reader, writer = await self._connect()
        writer.write(f"GET {self.stream} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n\r\n".encode())
        seen, counted = 0, False
        while line := await reader.readline():
            seen += line.startswith(b"event: ")
            if seen >= 2 and not counted:
                counted = True
                self.served += 1

    async def _send_half(self) -> None:
        """Stall after the first line, and come back when the server has closed the connection."""
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await self._connect()
                self.half_sent.append(writer)
                writer.write(b"POST /jobs HTTP/1.1\r\nHost: " + HOST.encode())
                await reader.read()
                writer.close()
            await asyncio.sleep(1)

    async def _upload(self, number: int) -> None:
        name = base64.b64encode(f"faces-{number}.zip".encode()).decode()
        head = f"POST /uploads HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\n"
        head += f"Upload-Length: {UPLOAD_BYTES}\r\nUpload-Metadata: filename {name}\r\n"
        head += f"Content-Type: application/offset+octet-stream\r\nContent-Length: {UPLOAD_BYTES}\r\n\r\n"
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await self._connect()
                writer.write(head.encode())
                for _ in range(UPLOAD_BYTES // 40_000):
                    writer.write(b"x" * 40_000)
                    await writer.drain()
                    await asyncio.sleep(0.5)
                answer = await reader.read()
                writer.close()
                if answer.startswith(b"HTTP/1.1 201"):
                    self.uploaded += 1
                    return
            await asyncio.sleep(1)

    async def _list(self) -> None:
        while True:
            status = await self._get("/jobs?limit=100")
            self.lists += status == 200
            self.refused += status != 200

    async def _get(self, path: str) -> int:
        with contextlib.suppress(OSError, TimeoutError, IndexError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                reader, writer = await self._connect()
                writer.write(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode())
                answer = await reader.read()
                writer.close()
                return int(answer.split()[1])
        await asyncio.sleep(PAUSE_SECONDS)
        return 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("stream")
    for name in ("--readers", "--half-sent", "--uploads"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65_536), most))
    arguments.output.write_text(json.dumps(asyncio.run(Crowd(arguments).run())))


if __name__ == "__main__":
    main()
