import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.alignment.template import TEMPLATE_P2, Array, inverse, misalignment, moved, similarity

# P points; 23 a similarity transform.
small = st.floats(-3, 3)


@st.composite
def transforms(draw: st.DrawFn) -> Array:
    scale, angle = draw(st.floats(0.05, 20)), draw(st.floats(-math.pi, math.pi))
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    return np.array([(cos, -sin, draw(st.floats(-500, 500))), (sin, cos, draw(st.floats(-500, 500)))])


@given(transforms())
def test_a_moved_template_is_moved_back(there_23: Array) -> None:
    photo_P2 = moved(TEMPLATE_P2, there_23)
    assert moved(photo_P2, similarity(photo_P2, TEMPLATE_P2)) == pytest.approx(TEMPLATE_P2, abs=1e-6)
    assert moved(photo_P2, inverse(there_23)) == pytest.approx(TEMPLATE_P2, abs=1e-6)


@given(transforms(), st.lists(st.tuples(small, small), min_size=5, max_size=5))
def test_the_transform_is_the_one_of_least_squares(there_23: Array, noise: list[tuple[float, float]]) -> None:
    face_P2 = moved(TEMPLATE_P2 + np.array(noise), there_23)
    found_23 = similarity(face_P2, TEMPLATE_P2)
    rows = [row for x, y in face_P2 for row in ((x, -y, 1, 0), (y, x, 0, 1))]
    (cos, sin, x_shift, y_shift), *_ = np.linalg.lstsq(np.array(rows), TEMPLATE_P2.ravel())
    best_23 = np.array([(cos, -sin, x_shift), (sin, cos, y_shift)])
    assert moved(face_P2, found_23) == pytest.approx(moved(face_P2, best_23), abs=1e-5)


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_a_shifted_face_is_off_by_its_shift(x: float, y: float) -> None:
    assert misalignment(TEMPLATE_P2 + np.array((x, y))) == pytest.approx(math.hypot(x, y), abs=1e-6)


def test_the_shape_of_a_face_alone_does_not_put_it_off() -> None:
    long_nose_P2 = TEMPLATE_P2.copy()
    long_nose_P2[2, 1] += 4
    fitted_P2 = moved(long_nose_P2, similarity(long_nose_P2, TEMPLATE_P2))
    assert misalignment(fitted_P2) == pytest.approx(0, abs=1e-9)
    assert np.abs(fitted_P2 - TEMPLATE_P2).max() > 1
