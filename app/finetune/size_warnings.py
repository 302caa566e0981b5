"""Warnings about the sizes of a dataset's images. Sizes are (width, height) in pixels."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from app.finetune.config import FACE_SIZE
from app.finetune.counted import by_number, counted
from app.finetune.errors import name_some
from app.finetune.job_warning import JobWarning

Size = tuple[int, int]
Sizes = Counter[Size]

_NO_FILES: Mapping[Path, Size] = MappingProxyType({})


def size_warnings(name: str, sizes: Sizes, vlr_size: int | None) -> Iterator[JobWarning]:
    """What a person should know of the sizes of the VLR images; `name` is that of the split."""
    listed = _listed(sizes)
    other = sum(count for size, count in sizes.items() if size != (vlr_size, vlr_size))
    if vlr_size is not None and other:
        yield JobWarning(
            code="vlr_resampled",
            message=f"{other} of {counted(sizes.total(), f'{name} VLR image')} {by_number(other, 'was', 'were')} not "
            f"{vlr_size}x{vlr_size} and {by_number(other, 'was', 'were')} resampled "
            f"to it: {listed}",
        )
    if vlr_size is None and len(sizes) > 1:
        yield JobWarning(code="vlr_sizes_mixed", message=f"{name} VLR images have several sizes: {listed}")
    if vlr_size is None and any(max(size) >= FACE_SIZE for size in sizes):
        yield JobWarning(
            code="vlr_images_large",
            message=f"some {name} VLR images are as large as the face EdgeFace takes ({FACE_SIZE} px): {listed}; "
            "set vlr_size to train for low resolution",
        )
    if any(width != height for width, height in sizes):
        yield JobWarning(
            code="vlr_not_square", message=f"some {name} VLR images are not square and are stretched: {listed}"
        )


def hr_size_warnings(name: str, sizes: Sizes, files: Mapping[Path, Size] = _NO_FILES) -> Iterator[JobWarning]:
    """What a person should know of the sizes of the HR images; `name` is that of the split. `files` are the sizes by
    path, where they are known, and some of them are named."""
    stretched = Counter({size: count for size, count in sizes.items() if size[0] != size[1]})
    if stretched:
        yield JobWarning(
            code="hr_images_stretched",
            message=f"{stretched.total()} of {counted(sizes.total(), f'{name} HR image')} "
            f"{by_number(stretched.total(), 'is not square and is', 'are not square and are')} stretched to "
            f"{FACE_SIZE}x{FACE_SIZE} px: {_listed(stretched)}{_named(stretched, files)}",
        )
    small = Counter({size: count for size, count in sizes.items() if min(size) < FACE_SIZE})
    if small:
        yield JobWarning(
            code="hr_images_small",
            message=f"{small.total()} of {counted(sizes.total(), f'{name} HR image')} "
            f"{by_number(small.total(), 'is', 'are')} "
            f"smaller than {FACE_SIZE} px and {by_number(small.total(), 'is', 'are')} "
            f"enlarged, which adds no detail; the smallest: {_listed(small, sorted(small.items(), key=_area))}"
            f"{_named(small, files)}",
        )


def _area(item: tuple[Size, int]) -> int:
    (width, height), _ = item
    return width * height


def _listed(sizes: Sizes, order: Iterable[tuple[Size, int]] | None = None) -> str:
    """Return the five most common sizes, or the first five of the order, as in `16x16 (20), 18x22 (1)`."""
    items = sizes.most_common(5) if order is None else list(order)[:5]
    return ", ".join(f"{width}x{height} ({count})" for (width, height), count in items)


def _named(sizes: Sizes, files: Mapping[Path, Size]) -> str:
    names = [path.name for path, size in files.items() if size in sizes]
    return f"; {name_some(names)}" if names else ""
