"""The looks of HR images, by which near-duplicates are compared, kept in a temporary file from the decoding on."""

from pathlib import Path
from threading import Lock

from app.finetune.same_photo import Look, read_look
from worker.training.data.pixel_file import KeptImage, PixelFile
from worker.training.runtime.control import Control


class LookFile:
    """10 kB per image: too much to keep in memory, and few of them are ever compared."""

    def __init__(self, folder: Path, control: Control) -> None:
        self._greys = PixelFile(folder, control)
        self._known: dict[Path, tuple[int, bytes]] = {}
        self._lock = Lock()

    def append(self, path: Path, look: Look) -> None:
        """Raises DiskFull."""
        self._known[path] = len(self._greys), look.thumbnail
        self._greys.append(KeptImage(look.grey, look.grey.shape[::-1], is_face=False))

    def read(self, path: Path) -> Look:
        """The look of an image; one that was not decoded before is read now. In any thread. Raises UnreadableImages."""
        if path not in self._known:
            return read_look(path)
        place, thumbnail = self._known[path]
        with self._lock:
            (kept,) = self._greys.read(range(place, place + 1))
        return Look(kept.pixels, thumbnail)

    def clear(self) -> None:
        """Free the space."""
        self._known.clear()
        self._greys.close()
