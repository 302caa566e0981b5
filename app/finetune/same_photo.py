"""Whether two images are copies of one photo: recompressed, resized, brightened, cropped by a few pixels or mirrored.

Photos of one person taken seconds apart are alike too, but not to a thousandth: docs/decisions/0014 has the figures.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from app.finetune.images import read_rgb

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# Shape suffixes: N images, M of a block, D = 256 pixels of a thumbnail, S = 96 pixels, P pixels
# that count, R = 6 regressors.

CANDIDATE_CORRELATION = 0.975
"""Of two thumbnails. Copies cropped by a pixel on all sides reach 0.982, whatever the face."""

COPY_CORRELATION = 0.9985
"""Of two images' middle frequencies once they are registered."""

_THUMBNAIL = 16
_SIDE = 96
_FINE, _COARSE = 1, 8  # radii of the box blurs between which the middle frequencies lie, in pixels
_MARGIN = 6  # what the blurs and the registration spoil
_ROUNDS = 3
_HOPELESS = (0.3, 0.95)  # before the first round and after it
_STRETCHED = 0.025  # more than what a crop of a few pixels does to one side: a head that turned
_SATURATED = 248
_LEAST_SEEN = 0.3
_PAIRS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Print:
    """What an image is compared by: `digest` of its pixels, equal for its mirror image; `thumbnail` 16 x 16, grey."""

    digest: bytes
    thumbnail: bytes

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, with which the digest begins."""
        width, height = self.digest.split(b" ", 1)[0].split(b"x")
        return int(width), int(height)


@dataclass(frozen=True)
class Look:
    """What two candidates are compared by, 10 kB: `grey` [96, 96], uint8; `thumbnail` as a Print's."""

    grey: npt.NDArray[np.uint8]
    thumbnail: bytes


def read_print(path: Path) -> Print:
    """Raises UnreadableImages."""
    return make_print(read_rgb(path))


def make_print(image: Image.Image) -> Print:
    """Of an RGB image."""
    digests = (hashlib.sha256(each.tobytes()).digest() for each in (image, ImageOps.mirror(image)))
    return Print(f"{image.width}x{image.height} ".encode() + min(digests), _thumbnail(image))


def read_look(path: Path) -> Look:
    """Raises UnreadableImages."""
    return make_look(read_rgb(path))


def make_look(image: Image.Image) -> Look:
    """Of an RGB image."""
    return Look(_grey(image), _thumbnail(image))


def similar_pairs(prints: Sequence[Print], on_block: Callable[[], None] = lambda: None) -> Iterator[tuple[int, int]]:
    """Places (i < j) of the images whose thumbnails, or one's and the other's mirror image, correlate by
    CANDIDATE_CORRELATION: all that can be copies, and some more. Blocked, in some 100 MB whatever their number;
    `on_block` is called before each block and may raise."""
    unit_ND = _unit_thumbnails([each.thumbnail for each in prints])
    mirrored_ND = unit_ND.reshape(-1, _THUMBNAIL, _THUMBNAIL)[:, :, ::-1].reshape(unit_ND.shape)
    at_once = max(1, _PAIRS_AT_ONCE // max(1, len(prints)))
    for start in range(0, len(prints), at_once):
        on_block()
        block_MD = unit_ND[start : start + at_once]
        similar_MN = block_MD @ unit_ND[start:].T >= CANDIDATE_CORRELATION
        similar_MN |= block_MD @ mirrored_ND[start:].T >= CANDIDATE_CORRELATION
        for row, similar_N in enumerate(similar_MN):
            for column in np.flatnonzero(similar_N[row + 1 :]).tolist():
                yield start + row, start + row + 1 + column


def are_copies(first: Look, second: Look) -> bool:
    """Whether they, or one and the other's mirror image, reach COPY_CORRELATION."""
    a_D, b_D = _unit_thumbnails([first.thumbnail, second.thumbnail])
    mirrored_D = b_D.reshape(_THUMBNAIL, _THUMBNAIL)[:, ::-1].ravel()
    b_SS = second.grey[:, ::-1] if a_D @ mirrored_D > a_D @ b_D else second.grey
    return copy_correlation(first.grey, b_SS) >= COPY_CORRELATION


def copy_correlation(first_SS: npt.NDArray[np.uint8], second_SS: npt.NDArray[np.uint8]) -> float:
    """Correlation (at most 1) of the middle frequencies of two grey images once the second is registered to the first.

    Registered by the shift, scales, gain and offset that least squares finds (Lucas, Kanade, "An iterative image
    registration technique", 1981); what only one of them shows does not count, nor what is white in either, since
    brightening clips. 0 for images without structure.
    """
    a_SS, b_SS = (each_SS.astype(np.float32) for each_SS in (first_SS, second_SS))
    motion, best = np.eye(3), 0.0
    for round_ in range(_ROUNDS + 1):
        warped_SS = _warp(b_SS, motion)
        inside_SS = _warp(np.ones_like(b_SS), motion) > 0.5
        seen_SS = (inside_SS & (a_SS < _SATURATED) & (warped_SS < _SATURATED)).astype(np.float32)
        inner = slice(_MARGIN, -_MARGIN)
        weight_P = seen_SS[inner, inner].ravel()
        if weight_P.mean() < _LEAST_SEEN:
            return 0.0
        middle_a_SS, middle_b_SS = _middles(np.stack([a_SS, warped_SS]), seen_SS)
        if abs(motion[0, 0] - motion[1, 1]) <= _STRETCHED:
            a_P, b_P = middle_a_SS[inner, inner].ravel(), middle_b_SS[inner, inner].ravel()
            best = max(best, _correlation(a_P, b_P, weight_P))
        if round_ == _ROUNDS or best < _HOPELESS[min(round_, 1)]:
            return best
        step = _motion(middle_a_SS, middle_b_SS, inner, weight_P)
        if step is None:
            return best
        motion = motion @ step
    return best


def _thumbnail(image: Image.Image) -> bytes:
    return image.convert("L").resize((_THUMBNAIL, _THUMBNAIL), Image.Resampling.BICUBIC).tobytes()


def _unit_thumbnails(thumbnails: Sequence[bytes]) -> Floats:
    pixels_ND = np.frombuffer(b"".join(thumbnails), np.uint8).reshape(-1, _THUMBNAIL**2).astype(np.float32)
    pixels_ND -= pixels_ND.mean(1, keepdims=True)
    unit_ND: Floats = pixels_ND / np.maximum(np.linalg.norm(pixels_ND, axis=1, keepdims=True), 1e-6)
    return unit_ND


def _grey(image: Image.Image) -> npt.NDArray[np.uint8]:
    return np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))


def _warp(pixels_SS: Floats, motion: Doubles) -> Floats:
    """Where a pixel comes from: `motion` [3, 3] on (x, y, 1)."""
    if np.array_equal(motion, np.eye(3)):
        return pixels_SS
    moved = Image.fromarray(pixels_SS).transform(
        (_SIDE, _SIDE), Image.Transform.AFFINE, tuple(motion[:2].ravel()), Image.Resampling.BICUBIC
    )
    return np.asarray(moved, np.float32)


def _middles(pixels_NSS: Floats, seen_SS: Floats) -> Floats:
    """What lies between the fine and the coarse blur of each image, each over the pixels that are seen."""
    if seen_SS.all():
        return _blur(pixels_NSS, _FINE) - _blur(pixels_NSS, _COARSE)
    sums = (_blur(np.concatenate([pixels_NSS * seen_SS, seen_SS[None]]), radius) for radius in (_FINE, _COARSE))
    fine, coarse = (each[:-1] / np.maximum(each[-1], 1e-3) for each in sums)
    return np.asarray(fine - coarse, np.float32)


def _blur(pixels_NSS: Floats, radius: int) -> Floats:
    """Two box blurs each way, the border repeated. `radius` is a power of two."""
    places = np.arange(-radius, _SIDE + radius).clip(0, _SIDE - 1)
    blurred = pixels_NSS
    for _ in range(4):
        values = blurred.take(places, 1).astype(np.float64)
        sums, summed = values, 1
        while summed < 2 * radius:
            sums, summed = sums[:, :-summed] + sums[:, summed:], 2 * summed
        sums = sums[:, :-1] + values[:, 2 * radius :]
        blurred = np.asarray(sums / (2 * radius + 1), np.float32).swapaxes(1, 2)
    return blurred


def _correlation(a_P: Floats, b_P: Floats, weight_P: Floats) -> float:
    total = weight_P.sum()
    a_P, b_P = (each - (weight_P * each).sum() / total for each in (a_P, b_P))
    norm = np.sqrt(float((weight_P * a_P * a_P).sum()) * float((weight_P * b_P * b_P).sum()))
    return 0.0 if norm < 1.0 else float((weight_P * a_P * b_P).sum()) / norm


def _motion(a_SS: Floats, b_SS: Floats, inner: slice, weight_P: Floats) -> Doubles | None:
    """The shift and the two scales [3, 3] of `b` that bring it to `a`, to first order; None where nothing tells."""
    down_SS, right_SS = (np.asarray(slope_SS, np.float64) for slope_SS in np.gradient(b_SS))
    half = (_SIDE - 1) / 2
    y_SS, x_SS = (np.mgrid[:_SIDE, :_SIDE] - half) / half
    parts: list[Doubles] = [np.ones_like(b_SS, np.float64), b_SS.astype(np.float64)]
    parts += [right_SS, right_SS * x_SS, down_SS, down_SS * y_SS]
    regressors_RP = np.stack([part[inner, inner].ravel() for part in parts]) * weight_P
    squares_RR = (regressors_RP @ regressors_RP.T).astype(np.float64)
    squares_RR += np.diag(1e-7 * np.diag(squares_RR) + 1e-9)
    solved_R = np.linalg.solve(squares_RR, (regressors_RP @ (a_SS[inner, inner].ravel() * weight_P)).astype(np.float64))
    gain = solved_R[1]
    if gain < 0.2:
        return None
    right, wider, down, taller = (solved_R[2:] / gain).tolist()
    return np.array([[1 + wider / half, 0, right - wider], [0, 1 + taller / half, down - taller], [0, 0, 1]])
