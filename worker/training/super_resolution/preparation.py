"""HR faces, decoded once and kept as every training keeps its faces."""

from collections.abc import Iterator
from pathlib import Path

from app.finetune.errors import ChangedWhileRead
from worker.training.control import Control
from worker.training.inputs import digest_images, refuse_unreadable
from worker.training.pixels import Faces, enlarge_bicubic, enlarge_images
from worker.training.prepared import PreparedFaces, prepared_key


def prepare_hr(paths: tuple[Path, ...], digest: str, prepared_dir: Path, threads: int, control: Control) -> Faces:
    """112 x 112, as a fine-tuning prepares its gallery, and under the same name; `digest` is of their files.

    Raises UnreadableImages, ChangedWhileRead, DiskFull and StopRequested.
    """
    store, key = PreparedFaces(prepared_dir, control), prepared_key(digest)
    if (kept := store.find(key, len(paths))) is not None:
        return kept
    refuse_unreadable(paths, threads, control)

    def decoded() -> Iterator[Faces]:
        yield from enlarge_images(paths, enlarge_bicubic, threads=threads)
        if digest_images(paths, threads, control) != digest:
            raise ChangedWhileRead(paths[0].parent)

    return store.make(key, len(paths), decoded)
