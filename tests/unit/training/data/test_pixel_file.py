"""Decoded images in a temporary file, on a disk that fills up."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from app.finetune.training_errors import DiskFull
from worker.training.data.pixel_file import KeptImage, PixelFile
from worker.training.runtime.control import Control

MEGABYTE = 2**20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """64 MB, of which a reservation takes 40."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(tmp_path)], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    (tmp_path / "reserved").write_bytes(bytes(40 * MEGABYTE))
    try:
        yield tmp_path
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


def image(number: int) -> KeptImage:
    """One megabyte."""
    return KeptImage(np.full((512, 2048, 1), number, np.uint8), (2048, 512), False)


def test_an_image_that_fills_the_disk_is_written_to_the_space_that_is_released(small_disk: Path) -> None:
    def release() -> bool:
        (small_disk / "reserved").unlink()
        return True

    file = PixelFile(small_disk, Control(release_space=release))
    for number in range(50):
        file.append(image(number))
    assert not (small_disk / "reserved").exists()
    assert [kept.pixels.min() for kept in file.read(range(50))] == list(range(50))
    assert [kept.pixels.max() for kept in file.read(range(50))] == list(range(50))
    file.close()


def test_a_full_disk_is_named(small_disk: Path) -> None:
    file = PixelFile(small_disk, Control())
    with pytest.raises(DiskFull):
        for number in range(50):
            file.append(image(number))
    file.close()
