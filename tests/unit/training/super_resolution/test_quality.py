"""PSNR and SSIM against torchmetrics and against the paper's sums."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from worker.training.super_resolution.quality import MOST_DECIBELS, psnr, ssim


def images(seed: int, noise: float) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(seed)
    first = random.integers(0, 256, (2, 3, 24, 31))
    second = np.clip(first + random.normal(0, noise, first.shape), 0, 255).round()
    return torch.from_numpy(first.astype(np.uint8)), torch.from_numpy(second.astype(np.uint8))


def reference_ssim(x_u8_CHW: Tensor, y_u8_CHW: Tensor) -> float:
    """Window by window, by the paper's own sums, in double precision."""
    places = np.arange(11) - 5
    weights = np.exp(-(places[:, None] ** 2 + places**2) / (2 * 1.5**2))
    weights /= weights.sum()
    x, y = (
        np.lib.stride_tricks.sliding_window_view(image.numpy().astype(np.float64), (11, 11), (1, 2))
        for image in (x_u8_CHW, y_u8_CHW)
    )
    mean_x, mean_y = ((weights * each).sum((-2, -1), keepdims=True) for each in (x, y))
    variance_x, variance_y, covariance = (
        (weights * product).sum((-2, -1), keepdims=True)
        for product in ((x - mean_x) ** 2, (y - mean_y) ** 2, (x - mean_x) * (y - mean_y))
    )
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return float((luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)).mean())


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), noise=st.floats(0, 80))
def test_ssim_agrees_with_the_papers_sums(seed: int, noise: float) -> None:
    first, second = images(seed, noise)
    for x_CHW, y_CHW, found in zip(first, second, ssim(first, second), strict=True):
        assert found.item() == pytest.approx(reference_ssim(x_CHW, y_CHW), abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), noise=st.floats(1, 80))
def test_both_agree_with_torchmetrics(seed: int, noise: float) -> None:
    first, second = images(seed, noise)
    x_NCHW, y_NCHW = first.double() / 255, second.double() / 255
    _, each_NCHW = structural_similarity_index_measure(
        x_NCHW, y_NCHW, data_range=1.0, reduction="none", return_full_image=True
    )
    inside_N = each_NCHW[..., 5:-5, 5:-5].flatten(1).mean(1)  # torchmetrics has windows beyond the border too
    torch.testing.assert_close(ssim(first, second).double(), inside_N, atol=1e-4, rtol=0)
    expected = peak_signal_noise_ratio(x_NCHW, y_NCHW, data_range=1.0, reduction="none", dim=(1, 2, 3))
    torch.testing.assert_close(psnr(first, second), expected.clamp(max=MOST_DECIBELS))


def test_equal_images_are_wholly_similar() -> None:
    first, _ = images(0, 0.0)
    torch.testing.assert_close(ssim(first, first), torch.ones(2))
    assert psnr(first, first).tolist() == [MOST_DECIBELS, MOST_DECIBELS]


def test_psnr_of_a_known_error() -> None:
    black, grey = torch.zeros(1, 3, 11, 11, dtype=torch.uint8), torch.full((1, 3, 11, 11), 51, dtype=torch.uint8)
    assert psnr(black, grey).item() == pytest.approx(20 * np.log10(255 / 51))
