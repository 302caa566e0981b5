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
from app.finetune.images import read_rgb
from app.finetune.network_limits import enlargement_problem
from app.finetune.training_errors import EnlargementNotFinite
from app.finetune.weights_errors import WeightsTooLarge
from worker.training.models.dsr import DSR
from worker.training.models.layout import in_a_layout_with_kernels, lay_out
from worker.training.runtime.cpu_parallel import parallel_on_all_cores
from worker.training.runtime.out_of_memory import in_parts_that_fit
from worker.training.runtime.profiling import profiled
from worker.training.runtime.transfers import to_device

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

_DSR_PIXELS_ON_A_CPU = 2**16
"""It is fastest where the maps of 64 channels fit its caches."""
_DSR_MAPS = 4
"""Maps of the output's size, of all channels in float32, that live at once: of a convolution, shuffled, activated, and
the workspace."""


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


class EnlargeByDsr:
    """The `Enlarge` of a DSR network, in batches on `device` that fit its memory.

    Images on the CPU become faces on the CPU. Those on a GPU stay there and the CPU waits for nothing, so that it is
    `refuse_not_finite` that raises EnlargementNotFinite for them. `on_faces` is called with the number of further faces
    enlarged, and may raise. Raises EnlargementNotFinite and WeightsTooLarge, naming `path`, and OutOfMemory.
    """

    def __init__(
        self, dsr: DSR, path: Path, device: torch.device, on_faces: Callable[[int], None] = lambda _: None
    ) -> None:
        self._dsr = dsr.to(device)
        lay_out(self._dsr, device)
        self._path = path
        self._device = device
        self._on_faces = on_faces
        self._parallel = parallel_on_all_cores(device)
        self._pixels_at_once = _dsr_pixels_at_once(dsr, device)
        self._not_finite = torch.zeros((), dtype=torch.int64, device=device)

    def __call__(self, vlr_u8_NCHW: Tensor) -> Tensor:
        height, width = vlr_u8_NCHW.shape[2:]
        if (problem := enlargement_problem(self._dsr.layout, width, height)) is not None:
            raise WeightsTooLarge(self._path, problem)
        pixels = height * width * self._dsr.layout.enlargement**2
        at_once = max(1, self._pixels_at_once // pixels)
        not_finite: list[Tensor] = []
        enlarge_some = partial(self._enlarge_at_once, not_finite)
        faces_u8_NCHW = in_parts_that_fit(enlarge_some, vlr_u8_NCHW, at_once, self._on_faces, self._parallel)
        images = torch.stack(not_finite).sum()
        if vlr_u8_NCHW.device.type == "cpu":
            self._refuse(images)
            return faces_u8_NCHW.cpu()
        self._not_finite = self._not_finite + images
        return faces_u8_NCHW

    def refuse_not_finite(self) -> None:
        """Raises EnlargementNotFinite where images on a GPU were enlarged to NaN or infinity. Waits for the GPU."""
        self._refuse(self._not_finite)

    def _refuse(self, not_finite: Tensor) -> None:
        if images := int(not_finite):
            raise EnlargementNotFinite(self._path, images)

    @torch.inference_mode()
    def _enlarge_at_once(self, not_finite: list[Tensor], vlr_u8_NCHW: Tensor) -> Tensor:
        vlr_NCHW = to_device(vlr_u8_NCHW, self._device).float() / 255
        vlr_NCHW = vlr_NCHW.contiguous(memory_format=torch.channels_last)
        super_resolved_NCHW = in_a_layout_with_kernels(self._dsr, lambda: self._dsr(vlr_NCHW))
        not_finite.append((~super_resolved_NCHW.isfinite().flatten(1).all(1)).sum())
        return _resize_bilinear(super_resolved_NCHW.clamp(0, 1))


def by_size(images: Sequence[npt.NDArray[np.uint8]]) -> Iterator[tuple[list[int], tuple[int, int], Tensor]]:
    """The images of each size: their indices, the size (width, height), and their pixels, uint8 [N, 3, H, W]."""
    indices_of_size: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, image in enumerate(images):
        indices_of_size[image.shape].append(index)
    for (height, width, _), indices in indices_of_size.items():
        images_NHWC = torch.from_numpy(np.stack([images[index] for index in indices]))
        yield indices, (width, height), images_NHWC.permute(0, 3, 1, 2)


def _dsr_pixels_at_once(dsr: DSR, device: torch.device) -> int:
    """On a GPU, as many output pixels as a quarter of its free memory holds."""
    if device.type != "cuda":
        return _DSR_PIXELS_ON_A_CPU
    pixel_bytes = _DSR_MAPS * dsr.layout.channels * torch.float32.itemsize
    return torch.cuda.mem_get_info(device)[0] // 4 // pixel_bytes


def _resize_bilinear(images_NCHW: Tensor) -> Tensor:
    """Float in [0, 1] -> uint8 faces."""
    reduces = max(images_NCHW.shape[2:]) > FACE_SIZE
    return to_u8(F.interpolate(images_NCHW, (FACE_SIZE, FACE_SIZE), mode="bilinear", antialias=reduces))


def to_u8(images_NCHW: Tensor) -> Tensor:
    """Float, clamped to [0, 1] -> uint8 in 0..255, rounded."""
    return images_NCHW.clamp(0, 1).mul(255).round().to(torch.uint8)
