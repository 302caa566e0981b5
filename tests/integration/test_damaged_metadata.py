"""Whole images with damaged metadata pass every door: the API, the commands and a job."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.main import create_app
from app.settings import Settings
from tests.support.command_line import edgeface_finetune
from tests.support.datasets import write_dataset, write_edgeface
from tests.unit.images.support import encoded, png_with
from tests.unit.training.support import run, write_training

DAMAGED = {
    "eXIf": (b"eXIf", b"MM\0*"),
    "tag": (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x09\0\0\xff\xff"),
    "profile": (b"tEXt", b"Raw profile type exif\0\nexif\n4\nzz"),
    "text": (b"zTXt", b"key\0\0not zlib"),
    "xmp": (b"iTXt", b'XML:com.adobe.xmp\0\0\0\0\0 tiff:Orientation="0"'),
}


def damage_metadata(folder: Path) -> None:
    """Of the images in all subfolders, each in another way."""
    for number, path in enumerate(sorted(folder.rglob("*.png"))):
        chunk = list(DAMAGED.values())[number % len(DAMAGED)]
        with Image.open(path) as image:
            loaded = image.copy()
        # WebP content too, under its former name.
        webp = encoded(loaded, "WEBP", lossless=True, exif=b"Exif\0\0MM\0*")
        path.write_bytes(webp if number % 7 == 6 else png_with(loaded, chunk))


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    settings = Settings(var_dir=var_dir)
    settings.make_directories()
    damage_metadata(write_dataset(settings.datasets_dir / "faces"))
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def test_jobs_on_them_are_accepted(api: TestClient) -> None:
    for path, extra in (("/jobs", {}), ("/jobs", {"recipe": "recommended"}), ("/dsr-trainings", {})):
        answer = api.post(path, json={"dataset": "faces", "edgeface": "edgeface_xxs.pt", **extra})
        assert answer.status_code == 201, answer.text


def test_dataset_check_reads_them(settings: Settings) -> None:
    ended = edgeface_finetune(settings, "dataset", "check", str(settings.datasets_dir / "faces"))
    assert (ended.status, ended.errors) == (0, ""), ended.output
    assert "unreadable" not in ended.output


def test_a_job_trains_on_them_as_on_whole_ones(tmp_path: Path) -> None:
    whole, damaged = write_training(tmp_path / "whole"), write_training(tmp_path / "damaged")
    for folder in (damaged.train_dir, damaged.val_dir):
        damage_metadata(folder)
    results = [run(files, stage1_epochs=0, stage2_epochs=1)[0] for files in (whole, damaged)]
    assert results[0].after == results[1].after
    assert results[1].evaluated is not None
