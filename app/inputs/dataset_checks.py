"""Images of a dataset, decoded once to check them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

from app.finetune.dataset import JobWarning, Split, refuse_unreadable
from app.finetune.leaks import AllowedLeaks, PartImage, exact_copies, refuse_copies
from app.finetune.same_photo import Print, read_print

_THREADS = 8


_FileKey = tuple[Path, int, int]
"""Path, modification time and size."""


class DatasetChecks:
    """Remembers which images were decoded whole, so that only new or changed ones are decoded again."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._good: set[_FileKey] = set()
        self._prints: dict[_FileKey, Print] = {}

    def refuse_unreadable(self, paths: Sequence[Path]) -> list[JobWarning]:
        """Raises UnreadableImages. A warning where the dataset has more images than are checked at submission."""
        unseen = {key: key[0] for key in map(_file_key, paths) if key not in self._good}
        checked = dict(list(unseen.items())[: self._limit])
        refuse_unreadable(checked.values())
        self._good.update(checked)
        if len(checked) == len(unseen):
            return []
        return [
            JobWarning(
                code="images_not_all_checked",
                message=f"{len(checked)} of {len(unseen)} images were decoded to check them; the rest is checked when "
                "the job is prepared",
            )
        ]

    def refuse_equal(self, parts: Mapping[str, Split], allowed: AllowedLeaks) -> None:
        """Raises PhotoCopied where VLR images of two parts, or of two subjects, have equal pixels. Those that the limit
        leaves out or that cannot be read, near-duplicates and people under two names are left to the job."""
        if allowed.everything:
            return
        images = [PartImage(part, path) for part, split in parts.items() for path in split.vlr_images][: self._limit]
        keys = {image: _file_key(image.path) for image in images}
        with ThreadPoolExecutor(_THREADS) as pool:
            for key, print_ in pool.map(_read_print, {key for key in keys.values() if key not in self._prints}):
                if print_ is not None:
                    self._prints[key] = print_
        copies = exact_copies({image: self._prints[key] for image, key in keys.items() if key in self._prints})
        refuse_copies(sorted(copies, key=str), allowed)


def _read_print(key: _FileKey) -> tuple[_FileKey, Print | None]:
    try:
        return key, read_print(key[0])
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return key, None


def _file_key(path: Path) -> _FileKey:
    try:
        stat = path.stat()
    except OSError:  # a link to nothing, or just removed: decoding it names it
        return path, 0, -1
    return path, stat.st_mtime_ns, stat.st_size
