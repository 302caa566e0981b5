"""Count how often the image files of a dataset are opened and decoded."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image


@dataclass
class ImageReads:
    """By path: how often a file was opened, and how often an image with its content was decoded."""

    opens: Counter[Path] = field(default_factory=Counter)
    decodes: Counter[Path] = field(default_factory=Counter)

    def clear(self) -> None:
        self.opens.clear()
        self.decodes.clear()


_counting: list[tuple[ImageReads, frozenset[str]]] = []


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _counting and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.fsdecode(arguments[0])
        for reads, names in _counting:
            if path in names:
                reads.opens[Path(path)] += 1


sys.addaudithook(_on_event)  # for good: Python has no way to remove it


@contextmanager
def image_reads(folder: Path) -> Iterator[ImageReads]:
    """Count for all files in `folder` whose content is unique, in all threads of this process."""
    by_content = {path.read_bytes(): path for path in folder.rglob("*") if path.is_file()}
    reads = ImageReads()
    open_image = Image.open

    def count(file: Any, *arguments: Any, **options: Any) -> Image.Image:
        content = file.getvalue() if hasattr(file, "getvalue") else Path(file).read_bytes()
        if (path := by_content.get(content)) is not None:
            reads.decodes[path] += 1
        return open_image(file, *arguments, **options)

    _counting.append((reads, frozenset(map(str, by_content.values()))))
    Image.open = count  # type: ignore[assignment]
    try:
        yield reads
    finally:
        Image.open = open_image
        _counting.pop()
