"""Entry: one entry of an archive, of any format."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """`name` as the archive has it. `read` yields the content once, before the next entry is asked for."""

    name: str
    is_folder: bool
    size: int
    read: Callable[[], Iterator[bytes]]


CHUNK = 256 * 2**10
