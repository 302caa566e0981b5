"""Refuses what an earlier check found, as the job that reads the images would."""

from collections.abc import Iterable, Mapping, Set
from itertools import islice
from pathlib import Path

from app.finetune.dataset_findings import MOST_KEPT, DatasetFindings, FoundCopy, FoundImage
from app.finetune.errors import UnreadableImages, printable
from app.finetune.image_file import ImageFile
from app.finetune.leaks import AllowedLeaks, Copy, PartImage, refuse_copies


def refuse_found_unreadable(findings: DatasetFindings, dataset: Path, kinds: Set[str]) -> None:
    """Raise UnreadableImages for those in the folders `kinds`, such as `train_processed/vlr_images`."""
    found = [each for each in findings.unreadable if _kind(each.part, each.path) in kinds]
    if found:
        raise UnreadableImages({dataset / each.part / each.path: each.reason for each in found})


def refuse_found_copies(
    findings: DatasetFindings, dataset: Path, roles: Mapping[str, str], kinds: Set[str], allowed: AllowedLeaks
) -> None:
    """Raise PhotoCopied for copies in the folders `kinds` that are not allowed. `roles` are the names that a job
    has for the parts, such as `train`."""
    copies = [copy for copy in findings.copies if all(_kind(end.part, end.path) in kinds for end in copy.ends)]
    if not allowed.everything:
        refuse_copies([_as_copy(copy, dataset, roles) for copy in copies], allowed)


def _kind(part: str, path: str) -> str:
    return f"{part}/{path.partition('/')[0]}"


def _as_copy(copy: FoundCopy, dataset: Path, roles: Mapping[str, str]) -> Copy:
    first, second = (
        PartImage(roles[end.part], ImageFile(dataset / end.part / end.path, end.subject, end.photo))
        for end in copy.ends
    )
    return Copy(first, second, copy.exact)


def found_copies(
    copies: Iterable[Copy], parts: Mapping[str, Path], stats: Mapping[Path, tuple[int, int]]
) -> list[FoundCopy]:
    """Return the first 1000 copies with the paths that a record keeps. `parts` are the directories by the parts' names
    in `copies`, which are those of their folders; `stats` are size and modification time of the files."""

    def found(end: PartImage) -> FoundImage:
        path = printable(end.path.relative_to(parts[end.part]).as_posix())
        size, time = stats[end.path]
        return FoundImage(
            part=end.part, path=path, size=size, mtime_ns=time, subject=end.subject, photo=end.image.photo
        )

    return [
        FoundCopy(first=found(copy.first), second=found(copy.second), exact=copy.exact)
        for copy in islice(copies, MOST_KEPT)
    ]
