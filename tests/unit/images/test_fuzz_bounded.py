"""Mutated files of every format are read with bounded memory: pixels, or our errors."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.finetune.image_formats import IMAGE_FORMATS
from tests.unit.images.fuzz_child import CORPUS, read
from tests.unit.images.support import files_of_each_format


def fuzz(seconds: int, seed: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.unit.images.fuzz_child", str(seconds), str(seed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr[-2000:]
    assert int(ran.stdout.split()[0]) > seconds, ran.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_minute_of_mutated_files() -> None:
    fuzz(60, 1)


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_three_minutes_of_mutated_files() -> None:
    fuzz(180, 2)


def test_the_seeds_have_every_format() -> None:
    suffixes = {f".{name.rpartition('.')[2]}" for name in files_of_each_format()}
    assert [each.name for each in IMAGE_FORMATS if not suffixes & set(each.suffixes)] == []


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.stem)
@pytest.mark.filterwarnings("ignore")
def test_what_is_kept_stays_read(path: Path) -> None:
    """Files on which the reader failed once, or took much: add the one that `fuzz_child` prints."""
    read(path.read_bytes())
