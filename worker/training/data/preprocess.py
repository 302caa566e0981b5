"""Decode images and enlarge them to faces, uint8.

With DSR: RGB in [0, 1] -> DSR -> clamp -> 112 x 112 bilinear. Without: bicubic to 112 x 112. The resampler is part of
the result: the same checkpoint fell from 96 % to 83 % at 8 px when its environment's resampler changed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from app.finetune.config import FACE_SIZE
from app.finetune.dataset import JobWarning
from app.finetune.images import read_rgb
from app.finetune.training_errors import EnlargementNotFinite
from worker.training.models.dsr import DSR
from worker.training.runtime.cpu_parallel import parallel_on_all_cores
from worker.training.runtime.out_of_memory import in_parts_that_fit
from worker.training.runtime.profiling import profiled

# Shape suffixes: N images, C = 3 channels (RGB), H and W pixels; _u8 is uint8 in 0..255, without it float in [0, 1].

RESAMPLER = (
    "PyTorch bicubic in 8-bit steps: a = -0.75 when enlarging, antialiased with a = -0.5 when reducing; "
    "after DSR bilinear, antialiased when reducing"
)
"""The one resampler of the project: it reproduces the published table
(tests/unit/training/validation/test_published_table.py)."""

Enlarge = Callable[[Tensor], Tensor]
"""Images of one size, uint8 [N, 3, H, W] -> uint8 faces [N, 3, 112, 112]."""

CHUNK = 64
"""Images decoded and enlarged at a time."""

_DSR_PIXELS_AT_ONCE = {"cuda": 2**19, "cpu": 2**16}
"""64 channels of 2**19 are 128 MiB, and a few such maps live at once; a CPU is fastest where they fit its caches."""


@dataclass(frozen=True)
class Faces:
    """Faces as the backbone takes them but for normalisation: uint8 [N, 3, 112, 112], RGB; and the sizes (width,
    height) that the files had."""

    pixels_u8: Tensor
    sizes: Counter[tuple[int, int]]


def enlarge_images(
    paths: Sequence[Path], enlarge: Enlarge, *, threads: int, vlr_size: int | None = None
) -> Iterator[Faces]:
    """Decode and enlarge every image, in the order of `paths`, 64 at a time.

    With `vlr_size`, images of another size are first resampled to it and rounded to 8 bits, like the images of a
    camera. Raises UnreadableImages, and what `enlarge` raises.
    """
    with ThreadPoolExecutor(max_workers=max(1, threads)) as pool:
        for start in range(0, len(paths), CHUNK):
            with profiled("decode"):
                images = list(pool.map(decode, paths[start : start + CHUNK]))
            yield enlarge_chunk(images, enlarge, vlr_size)


def enlarge_chunk(images: Sequence[npt.NDArray[np.uint8]], enlarge: Enlarge, vlr_size: int | None = None) -> Faces:
    """Enlarge decoded images, uint8 [H, W, 3], those of one size together; `vlr_size` as in `enlarge_images`."""
    faces_u8_NCHW = torch.empty(len(images), 3, FACE_SIZE, FACE_SIZE, dtype=torch.uint8)
    sizes: Counter[tuple[int, int]] = Counter()
    for indices, size, images_u8_NCHW in by_size(images):
        sizes[size] += len(indices)
        with profiled("enlargement"):
            faces_u8_NCHW[torch.tensor(indices)] = enlarge(resample(images_u8_NCHW, vlr_size))
    return Faces(faces_u8_NCHW, sizes)


def resample(images_u8_NCHW: Tensor, vlr_size: int | None) -> Tensor:
    """To `vlr_size` pixels square, where there is one."""
    return images_u8_NCHW if vlr_size is None else resize_bicubic(images_u8_NCHW, vlr_size)


def decode(path: Path) -> npt.NDArray[np.uint8]:
    """The image in a file: uint8 [H, W, 3], as `read_rgb` reads it."""
    return np.asarray(read_rgb(path))


def resize_bicubic(images_u8_NCHW: Tensor, size: int) -> Tensor:
    """uint8 [N, 3, H, W] -> uint8 [N, 3, size, size] by RESAMPLER; images of that size stay as they are."""
    height, width = images_u8_NCHW.shape[2:]
    if height == width == size:
        return images_u8_NCHW
    reduces = max(height, width) > size
    resized_NCHW = F.interpolate(images_u8_NCHW.float() / 255, (size, size), mode="bicubic", antialias=reduces)
    return to_u8(resized_NCHW)


def enlarge_bicubic(images_u8_NCHW: Tensor) -> Tensor:
    """The `Enlarge` without a network; for HR images too."""
    return resize_bicubic(images_u8_NCHW, FACE_SIZE)


def enlarge_bilinear(images_u8_NCHW: Tensor) -> Tensor:
    """The `Enlarge` that is left of the pipeline with DSR when the network is taken out: its last resize."""
    return _resize_bilinear(images_u8_NCHW.float() / 255)


def enlarge_by_dsr(
    dsr: DSR, path: Path, device: torch.device, on_faces: Callable[[int], None] = lambda _: None
) -> Enlarge:
    """The `Enlarge` of a DSR network, in batches on `device` that fit its memory.

    `on_faces` hears how many more it has enlarged, and may raise. It raises EnlargementNotFinite, naming `path`, and
    OutOfMemory.
    """
    dsr = dsr.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    at_once, parallel = _DSR_PIXELS_AT_ONCE[device.type], parallel_on_all_cores(device)

    def enlarge(vlr_u8_NCHW: Tensor) -> Tensor:
        height, width = vlr_u8_NCHW.shape[2:]
        pixels = height * width * dsr.layout.enlargement**2
        not_finite: list[int] = []
        enlarge_some = partial(enlarge_at_once, not_finite)
        faces_u8_NCHW = in_parts_that_fit(enlarge_some, vlr_u8_NCHW, max(1, at_once // pixels), on_faces, parallel)
        if sum(not_finite):
            raise EnlargementNotFinite(path, sum(not_finite))
        return faces_u8_NCHW

    @torch.inference_mode()
    def enlarge_at_once(not_finite: list[int], vlr_u8_NCHW: Tensor) -> Tensor:
        vlr_NCHW = vlr_u8_NCHW.to(device).float() / 255
        super_resolved_NCHW = dsr(vlr_NCHW.contiguous(memory_format=torch.channels_last))
        not_finite.append(int((~super_resolved_NCHW.isfinite().flatten(1).all(1)).sum()))
        super_resolved_NCHW = super_resolved_NCHW.clamp(0, 1)
        return _resize_bilinear(super_resolved_NCHW).cpu()

    return enlarge


def size_warnings(name: str, sizes: Counter[tuple[int, int]], vlr_size: int | None) -> Iterator[JobWarning]:
    """What a person should know of the sizes (width, height) of the VLR images; `name` is train or val."""
    listed = ", ".join(f"{width}x{height} ({count})" for (width, height), count in sizes.most_common(5))
    other = sum(count for size, count in sizes.items() if size != (vlr_size, vlr_size))
    if vlr_size is not None and other:
        yield JobWarning(
            code="vlr_resampled",
            message=f"{other} of {sizes.total()} {name} VLR images were not {vlr_size}x{vlr_size} and were resampled "
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


def by_size(images: Sequence[npt.NDArray[np.uint8]]) -> Iterator[tuple[list[int], tuple[int, int], Tensor]]:
    """The images of each size: their indices, the size (width, height), and their pixels, uint8 [N, 3, H, W]."""
    indices_of_size: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        indices_of_size[image.shape].append(index)
    for (height, width, _), indices in indices_of_size.items():
        images_NHWC = torch.from_numpy(np.stack([images[index] for index in indices]))
        yield indices, (width, height), images_NHWC.permute(0, 3, 1, 2)


def _resize_bilinear(images_NCHW: Tensor) -> Tensor:
    """Float in [0, 1] -> uint8 faces."""
    reduces = max(images_NCHW.shape[2:]) > FACE_SIZE
    return to_u8(F.interpolate(images_NCHW, (FACE_SIZE, FACE_SIZE), mode="bilinear", antialias=reduces))


def to_u8(images_NCHW: Tensor) -> Tensor:
    """Float, clamped to [0, 1] -> uint8 in 0..255, rounded."""
    return images_NCHW.clamp(0, 1).mul(255).round().to(torch.uint8)
