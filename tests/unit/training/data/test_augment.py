"""Augmentation: each image draws its own, by torchvision's definitions."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional as torchvision_functional  # type: ignore[import-untyped]

from worker.training.data.augment import adjust_brightness, adjust_contrast, adjust_saturation, augment, draw


def faces(count: int) -> Tensor:
    return torch.randint(256, (count, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def drawn(faces: int, seed: int) -> Tensor:
    return draw(faces, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (adjust_brightness, torchvision_functional.adjust_brightness),
        (adjust_contrast, torchvision_functional.adjust_contrast),
        (adjust_saturation, torchvision_functional.adjust_saturation),
    ],
)
def test_jitter_is_that_of_torchvision(
    ours: Callable[[Tensor, Tensor], Tensor], theirs: Callable[[Tensor, float], Tensor]
) -> None:
    x_BCHW = faces(5) / 255
    factors = torch.tensor([0.0, 0.95, 1.0, 1.05, 1.7])
    expected = torch.stack([theirs(face, factor.item()) for face, factor in zip(x_BCHW, factors, strict=True)])
    torch.testing.assert_close(ours(x_BCHW, factors[:, None, None, None]), expected, rtol=0, atol=1e-6)


def test_each_image_draws_its_own() -> None:
    x_BCHW = faces(1).expand(64, -1, -1, -1)
    augmented = augment(x_BCHW, drawn(len(x_BCHW), 0))
    assert len({tuple(face.flatten().tolist()) for face in augmented}) == 64


def test_half_of_the_images_are_flipped_and_nothing_moves_further_than_the_jitter() -> None:
    x_u8_BCHW = 50 + faces(1).expand(1000, -1, -1, -1) // 2
    augmented = augment(x_u8_BCHW, drawn(len(x_u8_BCHW), 0))
    x_BCHW = x_u8_BCHW / 255
    unflipped = (augmented - x_BCHW).abs().amax((1, 2, 3)) < 0.1
    flipped = (augmented - x_BCHW.flip(3)).abs().amax((1, 2, 3)) < 0.1
    assert (unflipped ^ flipped).all()
    assert 450 < flipped.sum() < 550
    brightness = augmented.mean((1, 2, 3)) / x_BCHW.mean((1, 2, 3))
    assert 0.949 < brightness.min() < 0.955
    assert 1.045 < brightness.max() < 1.051


def test_the_generator_alone_decides() -> None:
    x_BCHW = faces(6)
    first, again = (augment(x_BCHW, drawn(6, 3)) for _ in range(2))
    torch.manual_seed(0)
    assert torch.equal(first, again)
    assert not torch.equal(first, augment(x_BCHW, drawn(6, 4)))
    assert first.min() >= 0
    assert first.max() <= 1


def test_a_batch_in_parts_is_augmented_as_the_whole() -> None:
    x_BCHW, drawn_4B = faces(6), drawn(6, 3)
    parts = [augment(x_BCHW[part], drawn_4B[:, part]) for part in (slice(0, 4), slice(4, 6))]
    torch.testing.assert_close(torch.cat(parts), augment(x_BCHW, drawn_4B), rtol=0, atol=1e-6)
