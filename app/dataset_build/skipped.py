"""Files that a build leaves out: which, and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from app.finetune.counted import counted

Reason = Literal[
    "hidden",
    "system_file",
    "not_an_image",
    "not_a_file",
    "link_loop",
    "empty_folder",
    "no_subject",
    "unreadable",
    "no_face",
    "several_faces",
    "too_small",
]

IN_WORDS: dict[Reason, str] = {
    "hidden": "hidden",
    "system_file": "of an operating system",
    "not_an_image": "not an image",
    "not_a_file": "neither file nor folder",
    "link_loop": "linked to a folder above",
    "empty_folder": "an empty folder",
    "no_subject": "without a subject",
    "unreadable": "unreadable",
    "no_face": "without a face",
    "several_faces": "with several faces",
    "too_small": "too small",
}

IMAGE_REASONS = frozenset[Reason]({"no_subject", "unreadable", "no_face", "several_faces", "too_small"})
"""Of files that have the name of an image."""


@dataclass(frozen=True)
class Skipped:
    """A file below FACES that is not built, or a folder with `files` of them: its `path` then ends in `/`.

    `path` is relative to FACES, with `/`; bytes that are not UTF-8 are escaped. `detail` explains the reason, such as
    `.txt` or `cut short`. `subject` is the one that the path names, None where it names none.
    """

    path: str
    reason: Reason
    detail: str = ""
    subject: str | None = None
    files: int = 1

    @property
    def is_image(self) -> bool:
        return self.reason in IMAGE_REASONS

    def __str__(self) -> str:
        """`anna/01.png: cut short`."""
        return f"{self.path}: {self.detail or IN_WORDS[self.reason]}"


def count_reasons(skipped: Sequence[Skipped]) -> str:
    """Return the number of files of each reason, most first, as in `10 .txt, 2 hidden`."""
    counts: Counter[str] = Counter()
    for each in skipped:
        counts[each.detail if each.reason == "not_an_image" else IN_WORDS[each.reason]] += each.files or 1
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def summary(skipped: Iterable[Skipped]) -> list[str]:
    """Return a line on the files that are not images, and one on the images: `12 files ignored: 10 .txt, 2 hidden`."""
    files = [each for each in skipped if not each.is_image]
    images = [each for each in skipped if each.is_image]
    lines = []
    if files:
        lines.append(f"{counted(sum(each.files for each in files), 'file')} ignored: {count_reasons(files)}")
    if images:
        lines.append(f"{counted(len(images), 'image')} skipped: {count_reasons(images)}")
    return lines
