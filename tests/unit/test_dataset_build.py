from pathlib import Path

import pytest
from PIL import Image

from app.dataset_build import SplitBy, build_dataset
from app.dataset_build_errors import NamesCollide, OutputNotEmpty, TooFewToSplit
from app.drawn_faces import write_drawn_faces
from app.finetune.dataset import scan_dataset
from app.finetune.errors import FolderEmpty, UnreadableImages


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    write_drawn_faces(tmp_path / "faces", subjects=5, images_per_subject=3, seed=1)
    return tmp_path / "faces"


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")}


@pytest.mark.parametrize(("split", "unknown"), [("subjects", 2), ("images", 0)])
def test_the_split_keeps_vals_people_out_of_train_or_gives_each_to_both(
    faces: Path, tmp_path: Path, split: SplitBy, unknown: int
) -> None:
    built = build_dataset(faces, tmp_path / "out", vlr_size=16, split=split, val_fraction=0.34, test_fraction=0)
    scan = scan_dataset(built.output / "train_processed", built.output / "val_processed")
    assert len(scan.unknown_val_subjects) == unknown
    assert scan.selection == ("verification_auc" if unknown else "val_accuracy")
    assert sum(part.images for part in built.parts) == 15
    assert {warning.code for warning in scan.warnings} <= {"val_subjects_unknown"}
    with Image.open(scan.train.vlr_images[0]) as vlr, Image.open(scan.train.hr_images[0]) as hr:
        assert (vlr.size, hr.size) == ((16, 16), (112, 112))


def test_the_same_faces_and_seed_give_the_same_dataset(faces: Path, tmp_path: Path) -> None:
    first, second, other = (
        files(build_dataset(faces, tmp_path / name, seed=seed).output)
        for name, seed in (("first", 1), ("second", 1), ("other", 2))
    )
    assert first == second
    assert set(first) != set(other)


def test_underscores_in_folder_names_do_not_cut_the_subject(faces: Path, tmp_path: Path) -> None:
    next(faces.iterdir()).rename(faces / "Anna_Maria  B")
    built = build_dataset(faces, tmp_path / "out")
    names = {path.name.split("_")[0] for path in built.output.rglob("*.png")}
    assert "Anna-Maria-B" in names


def test_a_larger_photo_is_cut_to_its_centre_square(tmp_path: Path) -> None:
    for subject in range(4):
        (tmp_path / "faces" / f"s{subject}").mkdir(parents=True)
        photo = Image.new("RGB", (400, 200), "black")
        photo.paste("red", (100, 0, 300, 200))
        photo.save(tmp_path / "faces" / f"s{subject}" / "photo.jpg", quality=100)
    built = build_dataset(tmp_path / "faces", tmp_path / "out")
    with Image.open(next(built.output.rglob("hr_images/*.png"))) as hr:
        red = hr.getchannel("R")
        assert sum(red.histogram()[:200]) == 0, "the black sides are still there"


def test_nothing_is_written_when_an_image_is_broken(faces: Path, tmp_path: Path) -> None:
    broken = next(faces.rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(UnreadableImages, match=broken.name):
        build_dataset(faces, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_what_cannot_be_built_is_named(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputNotEmpty):
        build_dataset(faces, tmp_path / "out")
    with pytest.raises(FolderEmpty):
        build_dataset(tmp_path / "out", tmp_path / "new")
    subjects = sorted(faces.iterdir())
    subjects[0].rename(faces / "a_b")
    subjects[1].rename(faces / "a-b")
    with pytest.raises(NamesCollide, match="a-b"):
        build_dataset(faces, tmp_path / "new")
    (faces / "a_b").rename(tmp_path / "elsewhere1")
    (faces / "a-b").rename(tmp_path / "elsewhere2")
    with pytest.raises(TooFewToSplit):
        build_dataset(faces, tmp_path / "new")


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    for subject in range(4):
        (tmp_path / "faces" / f"s{subject}").mkdir(parents=True)
        grey = Image.new("I;16", (112, 112), 256 * 100 + 255)
        grey.save(tmp_path / "faces" / f"s{subject}" / "photo.png")
    built = build_dataset(tmp_path / "faces", tmp_path / "out")
    with Image.open(next(built.output.rglob("hr_images/*.png"))) as hr:
        assert hr.getextrema() == ((100, 100),) * 3
