"""Receives the bytes of a request into the file of an upload, without holding up the event loop."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TypeVar

import anyio
from anyio import CancelScope, CapacityLimiter, Event, to_thread

from app.uploads.errors import UploadBusy, UploadChecksumWrong, UploadOffsetWrong, UploadTooLong
from app.uploads.files import UploadFile, UploadWriter
from app.uploads.protocol import Checksum

_Result = TypeVar("_Result")

_BUFFER_BYTES = 64 * 2**10
"""Of one request."""

_THREADS = 8
_GIVE_WAY_SECONDS = 5.0


class _Turn:
    def __init__(self) -> None:
        self.scope = CancelScope()
        self.ended = Event()


class Receiver:
    """Writes bytes in threads of its own: slow disks do not hold up other routes."""

    def __init__(self) -> None:
        self._limiter: CapacityLimiter | None = None
        self._turns: dict[str, _Turn] = {}

    async def in_thread(self, call: Callable[..., _Result], *arguments: object, **named: object) -> _Result:
        """Run a call that waits for the disk or the database. It is not abandoned if the client goes away."""
        if self._limiter is None:  # it belongs to the running event loop
            self._limiter = CapacityLimiter(_THREADS)
        # uvicorn ends nobody's thread, and a client that goes away must not leave half a write.
        shield = CancelScope(shield=True)
        with shield:
            result = await to_thread.run_sync(partial(call, *arguments, **named), limiter=self._limiter)
        return result  # noqa: RET504 - for mypy, a scope may swallow what it encloses

    async def append(
        self, content: AsyncIterator[bytes], file: UploadFile, *, offset: int, length: int, checksum: Checksum | None
    ) -> int:
        """Append the content to the file, which has `offset` bytes and gets at most `length`. Return the new offset.

        What came before the client went away stays, unless there is a checksum. Raises UploadBusy, UploadOffsetWrong,
        UploadTooLong, UploadChecksumWrong or UploadDiskFull.
        """
        async with self._writer(file) as writer:
            if (start := writer.offset) != offset:
                raise UploadOffsetWrong(file.upload_id, offset, start)
            parts = _Parts(writer, checksum)
            try:
                if checksum is not None:
                    await self.in_thread(writer.begin_unchecked)
                async for chunk in content:
                    if parts.received + len(chunk) > length - start:
                        raise UploadTooLong(length)
                    if parts.add(chunk):
                        await self.in_thread(parts.write)
            except UploadTooLong:
                await self.in_thread(writer.cut, start)
                raise
            except BaseException:
                await self.in_thread(parts.write_and_sync if checksum is None else partial(writer.cut, start))
                raise
            await self.in_thread(parts.write_and_sync)
            if checksum is not None:
                if not parts.are_as_announced:
                    await self.in_thread(writer.cut, start)
                    raise UploadChecksumWrong(checksum.algorithm)
                await self.in_thread(writer.accept)
            return writer.offset

    async def offset(self, file: UploadFile) -> int:
        """Return the offset, after a request that still writes was ended: its client has gone, if it asks here."""
        await self.end_writer(file.upload_id)
        return await self.in_thread(file.offset)

    @asynccontextmanager
    async def _writer(self, file: UploadFile) -> AsyncIterator[UploadWriter]:
        """Open the file for the only writer. An older request that waits for bytes gives way."""
        await self.end_writer(file.upload_id)
        writer = await self.in_thread(file.open_writer)
        turn = self._turns[file.upload_id] = _Turn()
        try:
            with turn.scope:
                yield writer
            if turn.scope.cancelled_caught:
                raise UploadBusy(file.upload_id)
        finally:
            await self.in_thread(writer.close)
            self._turns.pop(file.upload_id, None)
            turn.ended.set()

    async def end_writer(self, upload_id: str) -> None:
        """Raises UploadBusy where it does not end in time."""
        if (turn := self._turns.get(upload_id)) is None:
            return
        turn.scope.cancel()
        with suppress(TimeoutError), anyio.fail_after(_GIVE_WAY_SECONDS):
            await turn.ended.wait()
        if upload_id in self._turns:
            raise UploadBusy(upload_id)


class _Parts:
    """The bytes of one request, which are hashed and written in parts of the buffer's size."""

    def __init__(self, writer: UploadWriter, checksum: Checksum | None) -> None:
        self._writer = writer
        self._checksum = checksum
        self._digest = None if checksum is None else checksum.begin()
        self._buffer: bytes = b""
        self.received = 0

    def add(self, chunk: bytes) -> bool:
        """Return whether it is time to write."""
        self.received += len(chunk)
        if self._buffer:
            self._buffer += chunk
        else:
            self._buffer = chunk  # a server often brings as much at once: no copy of it is made
        return len(self._buffer) >= _BUFFER_BYTES

    def write(self) -> None:
        """Raises UploadDiskFull."""
        part, self._buffer = self._buffer, b""
        if self._digest is not None:
            self._digest.update(part)
        self._writer.write(part)

    def write_and_sync(self) -> None:
        """Raises UploadDiskFull."""
        self.write()
        self._writer.sync()

    @property
    def are_as_announced(self) -> bool:
        return self._checksum is None or self._digest is None or self._digest.digest() == self._checksum.expected
