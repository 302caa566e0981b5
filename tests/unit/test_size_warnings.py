"""Sizes of images that a person should know of."""

from collections import Counter

import pytest

from app.finetune.size_warnings import hr_size_warnings, size_warnings


@pytest.mark.parametrize(
    ("sizes", "vlr_size", "codes"),
    [
        ({(16, 16): 9}, None, []),
        ({(16, 16): 9}, 16, []),
        ({(24, 24): 9}, 16, ["vlr_resampled"]),
        ({(16, 16): 9, (24, 24): 1}, None, ["vlr_sizes_mixed"]),
        ({(128, 128): 9}, None, ["vlr_images_large"]),
        ({(14, 16): 9}, None, ["vlr_not_square"]),
    ],
)
def test_sizes_of_vlr_images(sizes: dict[tuple[int, int], int], vlr_size: int | None, codes: list[str]) -> None:
    warnings = list(size_warnings("train", Counter(sizes), vlr_size))
    assert [warning.code for warning in warnings] == codes
    assert all("train" in warning.message for warning in warnings)


@pytest.mark.parametrize(
    ("sizes", "messages"),
    [
        ({(112, 112): 9, (250, 250): 3}, []),
        ({(300, 200): 2, (112, 112): 9}, ["2 of 11 val HR images are not square and are stretched to 112x112"]),
        (
            {(18, 18): 1, (24, 24): 7, (112, 112): 9},
            ["8 of 17 val HR images are smaller than 112 px and are enlarged, which adds no detail"],
        ),
        ({(92, 112): 10}, ["10 of 10 val HR images are not square", "10 of 10 val HR images are smaller"]),
    ],
)
def test_sizes_of_hr_images(sizes: dict[tuple[int, int], int], messages: list[str]) -> None:
    found = [warning.message for warning in hr_size_warnings("val", Counter(sizes))]
    assert len(found) == len(messages)
    assert all(message.startswith(start) for message, start in zip(found, messages, strict=True))
