import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app.alignment.template import moved
from app.alignment.warp import warp

# P points; 23 a similarity transform; HW the pixels of a grey image.
AS_IT_IS_23 = np.array([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_nothing_moved_is_nothing_changed() -> None:
    photo = noise(112, 112)
    assert np.array_equal(np.asarray(warp(photo, AS_IT_IS_23, 112)), np.asarray(photo))


def test_beyond_the_edge_the_border_is_repeated() -> None:
    photo = noise(20, 30)
    right_and_down_23 = np.array([(1.0, 0.0, 40.0), (0.0, 1.0, 50.0)])
    output = np.asarray(warp(photo, right_and_down_23, 112))
    expected = np.pad(np.asarray(photo), ((50, 32), (40, 52), (0, 0)), mode="edge")
    assert np.array_equal(output, expected)


@settings(max_examples=60, deadline=None)
@given(
    scale=st.floats(0.05, 2),
    angle=st.floats(-math.pi, math.pi),
    spot=st.tuples(st.floats(25, 80), st.floats(25, 80)),
)
def test_a_spot_arrives_where_the_transform_puts_it(scale: float, angle: float, spot: tuple[float, float]) -> None:
    """Of any size and turn; a large photo reduced, a small one enlarged."""
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    turn_22 = np.array([(cos, -sin), (sin, cos)])
    at_P2 = np.array([(390.3, 410.8)])
    there_23 = np.column_stack([turn_22, np.array(spot) - turn_22 @ at_P2[0]])
    width = max(4.0, 3 / scale)
    y, x = np.mgrid[0:800, 0:800] + 0.5
    blob_HW = 255 * np.exp(-((x - at_P2[0, 0]) ** 2 + (y - at_P2[0, 1]) ** 2) / (2 * width**2))
    output_HW = np.asarray(warp(Image.fromarray(blob_HW.astype(np.uint8)).convert("RGB"), there_23, 112))[..., 0]
    near_HW = output_HW.astype(float)
    y, x = np.mgrid[0:112, 0:112] + 0.5
    centre = (near_HW * x).sum() / near_HW.sum(), (near_HW * y).sum() / near_HW.sum()
    assert np.hypot(*(np.array(centre) - moved(at_P2, there_23)[0])) < 0.15


def test_a_large_photo_is_reduced_without_aliasing() -> None:
    grain = noise(1120, 1120)
    output = np.asarray(warp(grain, AS_IT_IS_23 * 0.1, 112))
    assert np.asarray(grain).std() > 70
    assert output.std() < 15, "a tenth of the grain's pixels were taken, not the mean of all"
