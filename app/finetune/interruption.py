"""Lets long work on files end early, where its caller no longer wants the result.

The work calls `check_interrupted` in its loops. It does nothing unless a caller used `interruptible`.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event
from typing import TypeVar

_Item = TypeVar("_Item")

_unwanted: ContextVar[Event | None] = ContextVar("unwanted", default=None)


class Interrupted(Exception):
    """Nobody wants the result."""


@contextmanager
def interruptible(unwanted: Event) -> Iterator[None]:
    """Make `check_interrupted` raise in this thread once `unwanted` is set."""
    token = _unwanted.set(unwanted)
    try:
        yield
    finally:
        _unwanted.reset(token)


def is_interrupted() -> bool:
    """Return whether nobody wants the result."""
    unwanted = _unwanted.get()
    return unwanted is not None and unwanted.is_set()


def check_interrupted() -> None:
    """Raise Interrupted if nobody wants the result."""
    if is_interrupted():
        raise Interrupted


def until_interrupted(items: Iterable[_Item]) -> Iterator[_Item]:
    """Yield the items. Raise Interrupted between two of them if nobody wants the result."""
    for item in items:
        check_interrupted()
        yield item
