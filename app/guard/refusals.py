"""Refused attempts, counted for the audit: one entry for each kind, caller and minute, whatever sends how many."""

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from anyio.to_thread import run_sync
from sqlalchemy.exc import DBAPIError
from starlette.types import Scope

from app.access.acting import act_for
from app.access.audit import REFUSED, note
from app.access.callers import NOBODY, Caller
from app.database import Database
from app.guard.gate import caller_in
from app.request_limits.rate_limits import address_of

SECONDS = 60.0
"""Between two writes."""

MOST_KINDS = 50
"""Entries of one write. Beyond it, attempts are counted by their code alone, as those of `others`."""

STATUSES = frozenset({401, 403, 421})

_LONGEST_TARGET = 200
_OTHERS = replace(NOBODY, address="others")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Kind:
    code: str
    caller: Caller


@dataclass
class _Attempts:
    """`method` and `path` are those of the first."""

    method: str
    path: str
    times: int = 0
    began_at: float = field(default_factory=time.monotonic)


class Refusals:
    """Lives on the event loop, but for the writing. The entries of the last minute are lost with a killed process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._attempts: dict[_Kind, _Attempts] = {}
        self._timer: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()

    def count(self, code: str, scope: Scope) -> None:
        """Count a request that was answered with a status of STATUSES and this code of a problem."""
        known = caller_in(scope)
        kind = _Kind(code, Caller(known.name, NOBODY.scopes, known.key_id, address_of(scope)))
        if kind not in self._attempts and len(self._attempts) >= MOST_KINDS:
            kind = _Kind(code, _OTHERS)
        attempts = self._attempts.setdefault(kind, _Attempts(scope["method"], scope["path"]))
        attempts.times += 1
        if self._timer is None or self._timer.done():
            self._timer = asyncio.create_task(self._write_later())

    async def write(self) -> None:
        """Write the entries of what was counted so far."""
        async with self._writing:
            attempts, self._attempts = self._attempts, {}
            if attempts:
                await run_sync(self._add, attempts)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self.write()

    async def _write_later(self) -> None:
        await asyncio.sleep(SECONDS)
        self._timer = None  # what is counted from now on is for the next one
        await self.write()

    def _add(self, attempts: dict[_Kind, _Attempts]) -> None:
        try:
            with self._database.writing() as session:
                for kind, each in attempts.items():
                    act_for(session, kind.caller)
                    seconds = round(time.monotonic() - each.began_at, 1)
                    path = quote(each.path, safe="/:@")[:_LONGEST_TARGET]
                    note(session, REFUSED, path, code=kind.code, times=each.times, seconds=seconds, method=each.method)
        except DBAPIError as error:
            _log.warning("refused attempts are not in the audit: %s", error.orig)
