"""Check the images of a dataset when a job is submitted, and remember the result."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from threading import Lock

from cachetools import LRUCache

from app.finetune.dataset import JobWarning, Split
from app.finetune.errors import UnreadableImages
from app.finetune.leaks import AllowedLeaks, PartImage, exact_copies, read_prints, refuse_copies
from app.finetune.same_photo import Print

_THREADS = 8
_REMEMBERED = 200_000
"""Most image fingerprints kept, of about 500 bytes each."""

_FileKey = tuple[Path, int, int]
"""Path, modification time (ns) and size (bytes)."""


class DatasetChecks:
    """Checks images at submission. A file is read again only if its time or size changed. Reads at most `limit` files
    per submission."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._prints: LRUCache[_FileKey, Print] = LRUCache(max(_REMEMBERED, 2 * limit))
        self._lock = Lock()

    def refuse_unreadable(self, paths: Sequence[Path]) -> list[JobWarning]:
        """Read the new and changed images. Return a warning if there are more than the limit.

        Raises UnreadableImages.
        """
        keys = list(dict.fromkeys(map(_file_key, paths)))
        known = self._known(keys)
        unseen = [key for key in keys if key not in known]
        checked = unseen[: self._limit]
        self._read(checked)
        if len(checked) == len(unseen):
            return []
        return [
            JobWarning(
                code="images_not_all_checked",
                message=f"{len(checked)} of {len(unseen)} images were decoded to check them; the others are checked "
                "during the job's preparation",
            )
        ]

    def refuse_equal(self, parts: Mapping[str, Split], allowed: AllowedLeaks) -> None:
        """Raise PhotoCopied if VLR images of two splits, or of two subjects, have equal pixels.

        Compares only the images that `refuse_unreadable` read. The job finds near-duplicates and people under two
        names.
        """
        if allowed.everything:
            return
        images = [PartImage(part, path) for part, split in parts.items() for path in split.vlr_images][: self._limit]
        keys = {image: _file_key(image.path) for image in images}
        known = self._known(keys.values())
        copies = exact_copies({image: known[key] for image, key in keys.items() if key in known})
        refuse_copies(sorted(copies, key=str), allowed)

    def _known(self, keys: Iterable[_FileKey]) -> dict[_FileKey, Print]:
        with self._lock:
            return {key: self._prints[key] for key in keys if key in self._prints}

    def _read(self, keys: Sequence[_FileKey]) -> None:
        prints, unreadable = read_prints([path for path, *_ in keys], threads=_THREADS)
        with self._lock:
            self._prints.update({key: prints[key[0]] for key in keys if key[0] in prints})
        if unreadable:
            raise UnreadableImages(unreadable)


def _file_key(path: Path) -> _FileKey:
    try:
        stat = path.stat()
    except OSError:  # a dangling link, or a file just removed: reading it names it
        return path, 0, -1
    return path, stat.st_mtime_ns, stat.st_size
