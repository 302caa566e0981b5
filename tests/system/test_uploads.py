"""Uploads to a real API: it is killed between two bytes, and 200 clients send at once."""

import asyncio
import os
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from tests.support.servers import free_port
from tests.system.api_process import api
from tests.system.conftest import wait_until

pytestmark = pytest.mark.slow

_MIB = 2**20


def _begin(url: str, length: int) -> str:
    answer = httpx2.post(f"{url}/uploads", headers={"Upload-Length": str(length)}, timeout=60)
    assert answer.status_code == 201, answer.text
    return url + str(answer.headers["location"])


def _offset(upload: str) -> int:
    return int(httpx2.head(upload, timeout=60).headers["upload-offset"])


def _head_of_patch(upload: str, offset: int, length: int) -> bytes:
    target = httpx2.URL(upload)
    head = (
        f"PATCH {target.path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nUpload-Offset: {offset}\r\n"
        f"Content-Type: application/offset+octet-stream\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode()


def test_an_upload_goes_on_after_the_api_was_killed_between_any_two_bytes(tmp_path: Path) -> None:
    content, port = os.urandom(9 * _MIB), free_port()
    url = f"http://127.0.0.1:{port}"
    upload, offset = "", 0
    for sent in (300_001, 4 * _MIB):
        with api(tmp_path / "var", port) as process, socket.create_connection(("127.0.0.1", port)) as connection:
            upload = upload or _begin(url, len(content))
            offset = _offset(upload)
            connection.sendall(_head_of_patch(upload, offset, len(content) - offset))
            connection.sendall(content[offset : offset + sent])
            if sent > 2 * _MIB:
                _wait_for_bytes(_file(tmp_path, upload), offset + _MIB)
            process.send_signal(signal.SIGKILL)
            process.wait()
    with api(tmp_path / "var", port):
        while (offset := _offset(upload)) < len(content):
            headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
            part = content[offset : offset + 3 * _MIB]
            assert httpx2.patch(upload, content=part, headers=headers, timeout=60).status_code == 204
        assert httpx2.get(upload).json()["finished"]
    assert offset > _MIB
    written = [path for path in (tmp_path / "var").rglob("*") if not path.is_symlink()]
    assert {path for path in written if path.stat().st_mode & 0o077} == set()
    assert _file(tmp_path, upload).read_bytes() == content


def _wait_for_bytes(file: Path, size: int) -> None:
    wait_until(lambda: file.stat().st_size > size, 60)


def _file(tmp_path: Path, upload: str) -> Path:
    return tmp_path / "var" / "uploads" / "incoming" / upload.rpartition("/")[2]


def test_200_uploads_at_once_take_little_memory_and_hold_nobody_up(tmp_path: Path) -> None:
    count, length, port = 200, 4 * _MIB, free_port()
    url = f"http://127.0.0.1:{port}"
    with api(tmp_path / "var", port) as process:
        before = _peak_memory(process)
        uploads = [_begin(url, length) for _ in range(count)]
        slowest = 0.0

        async def send_all() -> None:
            nonlocal slowest
            streams = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in uploads))
            writers = [writer for _, writer in streams]
            for writer, upload in zip(writers, uploads, strict=True):
                writer.write(_head_of_patch(upload, 0, length))
            part = os.urandom(_MIB)
            async with httpx2.AsyncClient() as client:
                for _ in range(length // len(part) - 1):
                    for writer in writers:
                        writer.write(part)
                    drained = asyncio.gather(*(writer.drain() for writer in writers))
                    started = time.monotonic()
                    assert (await client.get(f"{url}/health/live", timeout=60)).status_code == 200
                    slowest = max(slowest, time.monotonic() - started)
                    await drained
            for writer in writers:  # the clients vanish before the last part
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

        asyncio.run(send_all())
        peak = _peak_memory(process)
        print(f"\n200 uploads: {before} MB before, {peak} MB at most; liveness in {slowest * 1000:.0f} ms")
        assert peak < 300
        assert all(0 < _offset(upload) < length for upload in uploads)


def _peak_memory(process: subprocess.Popen[bytes]) -> int:
    """The most that the process ever had in memory, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    kibibytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return int(kibibytes) * 1024 // 10**6
