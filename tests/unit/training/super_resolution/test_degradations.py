"""VLR faces made of HR ones: shapes, ranges, the seed, and that what is drawn is what is done."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.unit.training.super_resolution.support import tiny_config
from worker.training.data.preprocess import resize_bicubic
from worker.training.super_resolution.degradations import (
    KERNELS,
    blur,
    degrade,
    draw_degradations,
    reduce,
    shift,
    through_jpeg,
)

PROBABILITIES = ("kernel", "blur", "shift", "noise", "jpeg")
NEVER = {f"{name}_probability": 0.0 for name in PROBABILITIES}


def faces(count: int, seed: int = 0) -> Tensor:
    """Smooth pictures of the size of a face, each another."""
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(count, 3, 7, 7, generator=generator)
    large = torch.nn.functional.interpolate(small, (112, 112), mode="bicubic").clamp(0, 1)
    return large.mul(255).round().to(torch.uint8)


def degraded(changes: dict[str, Any], size: int = 16, seed: int = 1, count: int = 5) -> Tensor:
    drawn = draw_degradations(tiny_config(**changes), count, size, torch.Generator().manual_seed(seed))
    return degrade(faces(count), drawn)


@settings(deadline=None, max_examples=25)
@given(
    probabilities=st.fixed_dictionaries({f"{name}_probability": st.floats(0, 1) for name in PROBABILITIES}),
    strengths=st.fixed_dictionaries(
        {
            "blur_sigma": st.floats(0.01, 10),
            "shift_pixels": st.floats(0.01, 16),
            "noise_sigma": st.floats(0.01, 128),
            "jpeg_quality": st.integers(1, 95),
        }
    ),
    size=st.integers(4, 64),
    seed=st.integers(0, 2**32),
)
def test_every_draw_gives_vlr_faces_and_the_same_ones_for_the_same_seed(
    probabilities: dict[str, float], strengths: dict[str, float], size: int, seed: int
) -> None:
    first, again = (degraded({**probabilities, **strengths}, size, seed) for _ in range(2))
    assert first.shape == (5, 3, size, size)
    assert first.dtype == torch.uint8
    assert torch.equal(first, again)


@settings(deadline=None, max_examples=25)
@given(size=st.integers(4, 111), seed=st.integers(0, 2**32))
def test_a_face_that_draws_nothing_is_what_the_projects_downsampler_makes(size: int, seed: int) -> None:
    assert torch.equal(degraded(NEVER, size, seed), resize_bicubic(faces(5), size))


@pytest.mark.parametrize("name", PROBABILITIES)
def test_each_degradation_changes_every_face_where_it_is_certain(name: str) -> None:
    plain, changed = degraded(NEVER), degraded({**NEVER, f"{name}_probability": 1.0})
    assert (plain != changed).flatten(1).any(1).all()


def test_other_seeds_draw_otherwise() -> None:
    assert not torch.equal(degraded({}, seed=1), degraded({}, seed=2))


def test_about_the_share_asked_for_is_degraded() -> None:
    drawn = draw_degradations(tiny_config(noise_probability=0.3), 2000, 4, torch.Generator().manual_seed(0))
    share = drawn.noise_BCSS.flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.3, abs=0.05)
    assert drawn.blur_B.max() <= tiny_config().blur_sigma
    assert drawn.shift_B2.abs().max() <= tiny_config().shift_pixels
    assert set(drawn.kernel_B.tolist()) == set(range(len(KERNELS)))
    assert drawn.quality_B[drawn.quality_B > 0].min() >= tiny_config().jpeg_quality


def test_a_shift_by_whole_pixels_moves_the_picture_right_and_down() -> None:
    x_BCHW = faces(2).float() / 255
    moved = shift(x_BCHW, torch.tensor([[3.0, 0.0], [0.0, 2.0]]))
    torch.testing.assert_close(moved[0, :, :, 3:], x_BCHW[0, :, :, :-3], atol=1e-4, rtol=0)
    torch.testing.assert_close(moved[1, :, 2:], x_BCHW[1, :, :-2], atol=1e-4, rtol=0)


def test_blur_keeps_a_constant_face_and_smooths_each_by_its_own_sigma() -> None:
    constant = torch.full((1, 3, 32, 32), 0.4)
    torch.testing.assert_close(blur(constant, torch.tensor([2.0])), constant)
    point = torch.zeros(2, 3, 33, 33)
    point[:, :, 16, 16] = 1.0
    little, much = blur(point, torch.tensor([0.8, 2.0]))
    assert little[0, 16, 16] > much[0, 16, 16]
    spread = torch.arange(33.0) - 16
    variance = (much[0].sum(0) * spread.square()).sum()
    assert variance.item() == pytest.approx(4.0, rel=0.05)


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_keeps_the_mean(kernel: str) -> None:
    x_BCHW = faces(3).float() / 255
    torch.testing.assert_close(reduce(x_BCHW, 14, kernel).mean((1, 2, 3)), x_BCHW.mean((1, 2, 3)), atol=0.02, rtol=0)


def test_a_lower_quality_is_farther_from_the_image() -> None:
    image = resize_bicubic(faces(1), 24)[0]
    errors = [(through_jpeg(image, quality).float() - image.float()).abs().mean().item() for quality in (95, 30, 5)]
    assert errors == sorted(errors)
    assert errors[0] < errors[-1]
