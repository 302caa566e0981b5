"""Names of entries: they stay inside the folder, and differ on every file system."""

import re
import unicodedata

from app.archives.errors import ArchiveNamesCollide, ArchiveNested, ArchivePathUnsafe

_LONGEST_PART = 255
_LONGEST = 1024
_DEEPEST = 32
_DRIVE = re.compile(r"[A-Za-z]:")
_ARCHIVES = (
    ".7z",
    ".bz2",
    ".cab",
    ".gz",
    ".iso",
    ".jar",
    ".lz4",
    ".lzma",
    ".rar",
    ".tar",
    ".tbz2",
    ".tgz",
    ".txz",
    ".xz",
    ".z",
    ".zip",
    ".zst",
)
_MAGICS = (
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ\x00",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x28\xb5\x2f\xfd",
)
_SYSTEM = frozenset({"__macosx", "@eadir", "$recycle.bin", "system volume information", "thumbs.db", "desktop.ini"})


class EntryNames:
    """The names of one archive, seen one after the other."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}
        self._files: set[str] = set()

    def parts(self, name: str, *, is_folder: bool) -> tuple[str, ...]:
        """Return the parts of the path below the folder; none for the folder itself.

        Raises ArchivePathUnsafe or ArchiveNamesCollide.
        """
        parts = _safe_parts(name)
        path = folded = ""
        for number, part in enumerate(parts, start=1):
            path, folded = (f"{path}/{part}", f"{folded}/{_fold(part)}") if path else (part, _fold(part))
            is_file = number == len(parts) and not is_folder
            known = self._seen.get(folded)
            if known is not None and (known != path or is_file or folded in self._files):
                raise ArchiveNamesCollide(known, path)
            self._seen[folded] = path
            if is_file:
                self._files.add(folded)
        return parts


def is_system_file(parts: tuple[str, ...]) -> bool:
    """Return whether a computer adds such a file by itself, or hides it."""
    return any(part.startswith(".") or part.lower() in _SYSTEM for part in parts)


def refuse_archive_name(name: str) -> None:
    """Raises ArchiveNested."""
    if name.lower().endswith(_ARCHIVES):
        raise ArchiveNested(name)


def refuse_archive_content(name: str, start: bytes) -> None:
    """Raises ArchiveNested for a file that begins as an archive does, whatever it is called."""
    if start.startswith(_MAGICS) or start[257:262] == b"ustar":
        raise ArchiveNested(name)


def _safe_parts(name: str) -> tuple[str, ...]:
    if "\0" in name:
        raise ArchivePathUnsafe(name, "has a NUL character in its name")
    if "\\" in name:
        raise ArchivePathUnsafe(name, "has a backslash in its name")
    if name.startswith("/"):
        raise ArchivePathUnsafe(name, "has an absolute path")
    if _DRIVE.match(name):
        raise ArchivePathUnsafe(name, "names a drive")
    if any(unicodedata.category(character) in ("Cc", "Zl", "Zp") for character in name):
        raise ArchivePathUnsafe(name, "has a control character in its name")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts:
        raise ArchivePathUnsafe(name, "leads out of the archive by `..`")
    if len(name.encode("utf-8", "surrogateescape")) > _LONGEST or len(parts) > _DEEPEST:
        raise ArchivePathUnsafe(name, f"has a path of more than {_LONGEST} bytes or {_DEEPEST} folders")
    if any(len(part.encode("utf-8", "surrogateescape")) > _LONGEST_PART for part in parts):
        raise ArchivePathUnsafe(name, f"has a name of more than {_LONGEST_PART} bytes")
    return parts


def _fold(part: str) -> str:
    """The name as a file system that knows neither capitals nor two ways to write an accent compares it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())
