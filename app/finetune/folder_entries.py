"""List the images in a folder by the types of its entries, and refuse those that must not be opened.

The listing of most file systems says what an entry is: a folder of 100,000 images needs no stat of each.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from app.finetune.dataset_errors import FilesNotRegular, LinksLeadOutside
from app.finetune.image_formats import IMAGE_SUFFIXES
from app.finetune.interruption import until_interrupted
from app.finetune.user_files import kind_of_file, leads_outside


def is_image(path: Path) -> bool:
    """Return whether the name is that of an image. Hidden files are not: macOS writes `._NAME.png` to foreign disks."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(folder: Path, *, subfolders: bool = False, roots: Sequence[Path] | None = None) -> list[Path]:
    """Return the images in a folder, sorted, with those below it if `subfolders`, except in hidden ones.

    A link that leads nowhere is listed: reading it says what is wrong. `roots` are the folders that links may lead to,
    None any. Raises FilesNotRegular, LinksLeadOutside and OSError.
    """
    images, special, outside = [], [], []
    if roots is not None and leads_outside(folder, roots):
        raise LinksLeadOutside(folder.parent, [folder.name])
    for entry in _files(folder, subfolders=subfolders):
        if not is_image(path := Path(entry.path)):
            continue
        images.append(path)
        if (kind := _special_kind(entry)) is not None:
            special.append(f"{path.relative_to(folder)} ({kind})")
        elif roots is not None and entry.is_symlink() and leads_outside(path, roots):
            outside.append(str(path.relative_to(folder)))
    if special:
        raise FilesNotRegular(folder, sorted(special))
    if outside:
        raise LinksLeadOutside(folder, sorted(outside))
    return sorted(images)


def count_images(folder: Path) -> int:
    """Return the number of images in a folder, whatever they are. Raises OSError."""
    return sum(is_image(Path(entry.path)) for entry in _files(folder, subfolders=False))


def _files(folder: Path, *, subfolders: bool) -> Iterator[os.DirEntry[str]]:
    """Yield the entries that are no folders. Links to folders are not followed."""
    with os.scandir(folder) as entries:
        for entry in until_interrupted(entries):
            if not _is_folder(entry):
                yield entry
            elif subfolders and not entry.name.startswith(".") and not entry.is_symlink():
                yield from _files(Path(entry.path), subfolders=True)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links, or a target that may not be looked at: reading it says so
        return False


def _special_kind(entry: os.DirEntry[str]) -> str | None:
    try:
        return None if entry.is_file() else kind_of_file(entry.stat().st_mode)
    except OSError:
        return None
