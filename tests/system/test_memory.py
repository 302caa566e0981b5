"""A dataset larger than the memory that a training may use."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from app.drawn_faces import draw_face
from tests.support.datasets import write_edgeface
from tests.system.conftest import command

TRAIN_IMAGES = 6400  # 241 MB prepared
MEMORY_BYTES = 720 * 2**20  # a training of a few images in batches of 8 takes 590 MB


@pytest.fixture
def small_memory() -> Iterator[Path]:
    """The file that a process writes its id to, to have no more than MEMORY_BYTES from then on."""
    root = Path("/sys/fs/cgroup")
    first = not (root / "cgroup.controllers").exists()
    group = (root / "memory" if first else root) / f"edgeface-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(MEMORY_BYTES))
    except OSError as error:
        pytest.skip(f"only root with memory control groups can limit memory: {error}")
    yield group / "cgroup.procs"
    group.rmdir()


def write_many(folder: Path, subjects: int, images: int, kinds: tuple[str, ...]) -> None:
    """Images of one file each subject, under many names."""
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for subject in range(subjects):
            first = folder / kind / f"{subject:03}_00000.png"
            face = draw_face(subject, 0)
            (face if kind == "hr_images" else face.resize((16, 16), Image.Resampling.BICUBIC)).save(first)
            for number in range(1, images):
                os.link(first, first.with_name(f"{subject:03}_{number:05}.png"))


@pytest.mark.slow
def test_a_dataset_larger_than_memory_trains(tmp_path: Path, small_memory: Path) -> None:
    write_many(tmp_path / "faces" / "train_processed", 4, TRAIN_IMAGES // 4, ("vlr_images",))
    write_many(tmp_path / "faces" / "val_processed", 4, 2, ("vlr_images", "hr_images"))
    options = {
        "dataset": tmp_path / "faces",
        "edgeface": write_edgeface(tmp_path / "edgeface_xxs.pt"),
        "output-dir": tmp_path / "finetuned",
        "stage1-epochs": 0,
        "stage2-epochs": 1,
        "batch-size": 8,
        "allowed-leaks": "*",  # all images are alike
    }
    train = command("train", *(word for name, value in options.items() for word in (f"--{name}", str(value))))
    limited = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(small_memory), *train]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "finetuned" / "edgeface_finetuned.pth").is_file()
