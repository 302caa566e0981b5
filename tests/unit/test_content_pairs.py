"""VLR and HR images of one photo are found by their pixels where their names do not pair them."""

from pathlib import Path

import pytest
from PIL import Image

from app.finetune.content_pairs import content_pairs, content_pairs_warning
from app.finetune.dataset import scan_split
from app.finetune.dataset_warnings import split_warnings
from app.finetune.leaks import read_prints


def write_split(faces: Path, folder: Path, *, vlr: slice, size: int, resampling: Image.Resampling) -> Path:
    """Five people: HR images `NAME_01_y.png`, VLR images `NAME_01_x.png` of the photos in the slice."""
    for kind in ("vlr_images", "hr_images"):
        (folder / kind).mkdir(parents=True)
    for person in sorted(path for path in faces.iterdir() if path.is_dir())[:5]:
        photos = sorted(person.iterdir())[:6]
        for place, photo in enumerate(photos):
            with Image.open(photo) as opened:
                face = opened.convert("RGB")
            if place < 3:
                face.save(folder / "hr_images" / f"{person.name}_{place:02}_y.png")
            if place in range(*vlr.indices(len(photos))):
                reduced = face.resize((size, size), resampling)
                reduced.save(folder / "vlr_images" / f"{person.name}_{place:02}_x.png")
    return folder


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("resampling", [Image.Resampling.BOX, Image.Resampling.LANCZOS])
def test_photos_under_two_names_are_found(
    shared_assets: Path, tmp_path: Path, size: int, resampling: Image.Resampling
) -> None:
    faces = shared_assets / "faces" / "lfw_aligned"
    split = scan_split(write_split(faces, tmp_path / "val", vlr=slice(0, 3), size=size, resampling=resampling))
    prints, _ = read_prints([image.path for image in split.images], threads=1)
    pairs = content_pairs(split.vlr_images, split.hr_images, prints)
    assert [vlr.path.stem[:-2] for vlr, _ in pairs] == [hr.path.stem[:-2] for _, hr in pairs]
    assert len(pairs) >= 14
    warning = content_pairs_warning(pairs, "val")
    assert warning
    assert f"{len(pairs)} val VLR images" in warning.message


def test_cameras_against_mugshots_have_no_pairs(shared_assets: Path, tmp_path: Path) -> None:
    faces = shared_assets / "faces" / "lfw_aligned"
    folder = write_split(faces, tmp_path / "val", vlr=slice(3, 6), size=16, resampling=Image.Resampling.BICUBIC)
    split = scan_split(folder)
    prints, _ = read_prints([image.path for image in split.images], threads=1)
    assert content_pairs(split.vlr_images, split.hr_images, prints) == []
    assert content_pairs_warning([], "val") is None
    assert "photos_not_paired" in [warning.code for warning in split_warnings(split, "val")]
    assert "photos_not_paired" not in [warning.code for warning in split_warnings(split, "train")]


def test_names_that_pair_are_believed(shared_assets: Path, tmp_path: Path) -> None:
    faces = shared_assets / "faces" / "lfw_aligned"
    folder = write_split(faces, tmp_path / "val", vlr=slice(0, 3), size=16, resampling=Image.Resampling.BOX)
    for path in sorted(folder.glob("*/*.png")):
        path.rename(path.with_name(path.name.replace("_x", "_LR").replace("_y", "_HR")))
    split = scan_split(folder)
    prints, _ = read_prints([image.path for image in split.images], threads=1)
    assert content_pairs(split.vlr_images, split.hr_images, prints) == []
    assert "photos_not_paired" not in [warning.code for warning in split_warnings(split, "val")]
