"""Similarity of enlarged and HR faces: PSNR and SSIM. They are reported, but no epoch is selected by them: a network
that makes all faces look alike scores well and recognises nobody."""

import torch
from torch import Tensor

# Shape suffixes: N faces, C = 3 channels (RGB), H and W pixels; _u8 is uint8 in 0..255, without it float in [0, 1].

MOST_DECIBELS = 100.0
"""Reported PSNR of equal images, whose true value is infinite."""

_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = 0.01**2, 0.03**2


def psnr(x_u8_NCHW: Tensor, y_u8_NCHW: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio [N] in decibels: 10 log10(255^2 / MSE), with the mean over pixels and
    channels."""
    error_N = (x_u8_NCHW.double() - y_u8_NCHW.double()).square().flatten(1).mean(1)
    return (10 * torch.log10(255**2 / error_N)).clamp(max=MOST_DECIBELS)


def ssim(x_u8_NCHW: Tensor, y_u8_NCHW: Tensor) -> Tensor:
    """Return the structural similarity [N] in [-1, 1], the mean over the channels.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
    TIP 2004, section III: an 11 x 11 Gaussian window of sigma 1.5 inside the image, K1 0.01, K2 0.03.
    """
    x_NCHW, y_NCHW = x_u8_NCHW.float() / 255, y_u8_NCHW.float() / 255
    mean_x, mean_y = _window_mean(x_NCHW), _window_mean(y_NCHW)
    variance_x = _window_mean(x_NCHW.square()) - mean_x.square()
    variance_y = _window_mean(y_NCHW.square()) - mean_y.square()
    covariance = _window_mean(x_NCHW * y_NCHW) - mean_x * mean_y
    alike = (2 * mean_x * mean_y + _C1) * (2 * covariance + _C2)
    at_most = (mean_x.square() + mean_y.square() + _C1) * (variance_x + variance_y + _C2)
    return (alike / at_most).flatten(1).mean(1)


def _window_mean(x_NCHW: Tensor) -> Tensor:
    # Matrix products: on a CPU a convolution of single channels is three times slower.
    height, width = x_NCHW.shape[2:]
    return _window_means(height, x_NCHW.device) @ (x_NCHW @ _window_means(width, x_NCHW.device).T)


def _window_means(side: int, device: torch.device) -> Tensor:
    """Return the window's weights at all positions inside `side` pixels: [side - 10, side]."""
    places = torch.arange(_WINDOW, dtype=torch.float32, device=device) - _WINDOW // 2
    weights = torch.exp(-places.square() / (2 * _SIGMA**2))
    weights /= weights.sum()
    means = torch.zeros(side - _WINDOW + 1, side, device=device)
    for place in range(len(means)):
        means[place, place : place + _WINDOW] = weights
    return means
