"""How much an archive may contain."""

from dataclasses import dataclass

from app.archives.errors import ArchiveBomb, ArchiveTooLarge, ArchiveTooManyEntries

_MOST_ENTRIES = 1_000_000
_MOST_RATIO = 100
"""Photos hardly compress; images of one colour in a format without compression do, to a hundredth at most."""
_ALWAYS_ALLOWED = 64 * 2**20


@dataclass(frozen=True)
class ArchiveLimits:
    """`bytes` are those of all entries together. `ratio` is that of these to the archive's own bytes, and counts from
    64 MiB on."""

    bytes: int
    entries: int = _MOST_ENTRIES
    ratio: int = _MOST_RATIO


class Tally:
    """Counts what an archive contains. Raises ArchiveTooManyEntries, ArchiveTooLarge or ArchiveBomb."""

    def __init__(self, limits: ArchiveLimits, archive_bytes: int) -> None:
        self._limits = limits
        self._archive_bytes = archive_bytes
        self.entries = 0
        self.bytes = 0

    def add_entry(self) -> None:
        self.entries += 1
        if self.entries > self._limits.entries:
            raise ArchiveTooManyEntries(self._limits.entries)

    def add_bytes(self, count: int) -> None:
        self.bytes += count
        self.refuse(self.bytes)

    def refuse(self, total: int) -> None:
        """Raise for an archive with `total` bytes."""
        if total > self._limits.ratio * self._archive_bytes and total > _ALWAYS_ALLOWED:
            raise ArchiveBomb(self._limits.ratio)
        if total > self._limits.bytes:
            raise ArchiveTooLarge(self._limits.bytes)
