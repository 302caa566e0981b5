"""Finds who makes a request."""

import asyncio
import logging
import time
from collections.abc import Hashable
from dataclasses import replace

from anyio.to_thread import run_sync
from sqlalchemy.exc import DBAPIError
from starlette.requests import HTTPConnection

from app.access.callers import LOCAL, NOBODY, Caller
from app.access.errors import CsrfTokenMissing, KeyInvalid
from app.access.key_ring import KeyRing, read_key_ring
from app.access.keys import SECONDS_BETWEEN_USES, note_use
from app.access.secrets import csrf_token, digest, same
from app.database import Database
from app.live.shared_read import SharedRead

SESSION_COOKIE = "edgeface_session"
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_log = logging.getLogger(__name__)


class Authentication:
    """Keeps the keys that let somebody in until anything is committed to the database, whoever does it. A key that was
    revoked lets nobody in from the next request on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: tuple[Hashable, KeyRing] | None = None
        self._read = SharedRead(self._look)
        self._noted: dict[str, float] = {}
        self._noting: set[asyncio.Task[None]] = set()

    async def caller_of(self, request: HTTPConnection) -> Caller:
        """Return who makes the request: LOCAL while there never was a key, NOBODY without one.

        Raises KeyInvalid, and CsrfTokenMissing for a change by a session.
        """
        ring = await self.key_ring()
        address = None if request.client is None else request.client.host
        if ring.is_empty:
            return replace(LOCAL, address=address)
        caller = _find(ring, request)
        if caller.key_id is not None:
            self._note_use(caller.key_id)
        return replace(caller, address=address)

    async def is_current(self, caller: Caller) -> bool:
        """Return whether a caller found earlier would still be let in, such as the reader of a long stream."""
        ring = await self.key_ring()
        if caller.key_id is None:
            return ring.is_empty
        return any(known.key_id == caller.key_id for digest_ in ring.keys if (known := ring.of_key(digest_)))

    async def key_ring(self) -> KeyRing:
        """Return the keys, with all that was committed before this was called.

        While the database does not answer, those read last: what needs no database, such as /metrics, still answers.
        """
        if self._kept is not None and self._kept[0] == self._database.version.read_at_once():
            return self._kept[1]
        try:
            return await self._read.get()
        except DBAPIError:
            if self._kept is None:
                raise
            return self._kept[1]

    def load(self) -> None:
        """Read the keys, at the start of the service."""
        self._look()

    async def close(self) -> None:
        """Wait until the uses noted so far are written."""
        await asyncio.gather(*self._noting)

    def _look(self) -> KeyRing:
        # The version first: what is committed between the two is in this ring, and makes the next one anew.
        version = self._database.version.read()
        if self._kept is not None and self._kept[0] == version:
            return self._kept[1]
        with self._database.reading() as session:
            ring = read_key_ring(session)
        self._kept = (version, ring)
        return ring

    def _note_use(self, key_id: str) -> None:
        """Write the time, at most once a minute, while the request goes on."""
        now = time.monotonic()
        if now - self._noted.get(key_id, -SECONDS_BETWEEN_USES) < SECONDS_BETWEEN_USES:
            return
        self._noted[key_id] = now
        task = asyncio.create_task(self._write_use(key_id))
        self._noting.add(task)
        task.add_done_callback(self._noting.discard)

    async def _write_use(self, key_id: str) -> None:
        def write() -> None:
            with self._database.writing() as session:
                note_use(session, key_id)

        try:
            await run_sync(write)
        except DBAPIError as error:
            _log.warning("the use of key %s is not noted: %s", key_id, error.orig)


def _find(ring: KeyRing, request: HTTPConnection) -> Caller:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        kind, _, key = authorization.partition(" ")
        caller = ring.of_key(digest(key.strip())) if kind.lower() == "bearer" else None
        if caller is None:
            raise KeyInvalid
        return caller
    session = request.cookies.get(SESSION_COOKIE)
    caller = None if session is None else ring.of_session(digest(session))
    if session is None or caller is None:
        return NOBODY
    if request.scope["method"] not in SAFE_METHODS and not same(
        request.headers.get(CSRF_HEADER, ""), csrf_token(session)
    ):
        raise CsrfTokenMissing
    return caller
