"""The zip archive that torch.save writes: its pickle and the places of its data. Nothing is unpacked: torch.save stores
every entry as it is, and an archive that compresses one is refused."""

import os
import zipfile
from collections.abc import Sequence

from app.checked_weights.tensors import ITEM_BYTES, ReadBytes, Storage

MOST_ENTRIES = 100_000
MOST_PICKLE_BYTES = 2**24

_LOCAL_HEADER_BYTES = 30
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 1


class BadArchive(Exception):
    """Words that end the sentence `PATH is not a readable weights file: ...`."""


class Archive:
    def __init__(self, descriptor: int, size: int, read: ReadBytes) -> None:
        """Of the open file with this many bytes. Raises BadArchive."""
        self._read = read
        self._size = size
        try:
            with open(os.dup(descriptor), "rb") as file, zipfile.ZipFile(file) as archive:  # noqa: PTH123
                entries = archive.infolist()
        except MemoryError:
            raise
        except Exception as error:  # zipfile raises many exceptions for a damaged archive
            raise BadArchive(str(error)[:200] or type(error).__name__) from None
        if len(entries) > MOST_ENTRIES:
            raise BadArchive(f"it has {len(entries):,} entries; {MOST_ENTRIES:,} is the most")
        self._entries = {entry.filename: entry for entry in entries}
        if len(self._entries) < len(entries):
            raise BadArchive("two of its entries have one name")
        self._folder = self._find_folder()
        self._big_endian = self._text("byteorder") == b"big"

    @property
    def names(self) -> Sequence[str]:
        return list(self._entries)

    def pickle(self) -> bytes:
        """Raises BadArchive."""
        entry = self._entries[f"{self._folder}/data.pkl"]
        if entry.file_size > MOST_PICKLE_BYTES:
            raise BadArchive(f"its data.pkl has {entry.file_size:,} bytes; {MOST_PICKLE_BYTES:,} is the most")
        start, size = self._place(entry)
        return self._read(start, size)

    def find_storage(self, key: str, dtype: str, is_meta: bool) -> Storage:
        """Raises BadArchive. A storage without an entry has no data."""
        entry = self._entries.get(f"{self._folder}/data/{key}")
        if is_meta or entry is None or dtype not in ITEM_BYTES:
            return Storage(None, 0, dtype)
        start, size = self._place(entry)
        return Storage(start, size, dtype, self._big_endian)

    def _find_folder(self) -> str:
        found = [name for name in self._entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(found) != 1:
            raise BadArchive(f"it has {len(found)} files data.pkl")
        return found[0].removesuffix("/data.pkl")

    def _text(self, name: str) -> bytes:
        """The first bytes of a small entry."""
        entry = self._entries.get(f"{self._folder}/{name}")
        if entry is None:
            return b""
        start, size = self._place(entry)
        return self._read(start, min(size, 16))

    def _place(self, entry: zipfile.ZipInfo) -> tuple[int, int]:
        """Start and size of an entry's bytes in the file."""
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            raise BadArchive("it is compressed, which torch.save does not do")
        if entry.flag_bits & _ENCRYPTED:
            raise BadArchive("it is encrypted")
        header = self._read(entry.header_offset, _LOCAL_HEADER_BYTES)
        if not header.startswith(_LOCAL_SIGNATURE):
            raise BadArchive("an entry of the zip archive is not where its table says")
        name, extra = (int.from_bytes(header[place : place + 2], "little") for place in (26, 28))
        start = entry.header_offset + _LOCAL_HEADER_BYTES + name + extra
        if start + entry.file_size > self._size:
            raise BadArchive("an entry of the zip archive reaches beyond its end")
        return start, entry.file_size
