from pathlib import Path

import pytest
from PIL import Image

from app.dataset_build import Rules, SplitBy, build_dataset
from app.dataset_build.errors import ImagesSkipped, NoPhotos, OutputInsideFaces, OutputNotEmpty, TooFewToSplit
from app.finetune.dataset import scan_dataset
from app.finetune.dataset_errors import FolderMissing
from app.finetune.dataset_warnings import scan_warnings


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
    assert list(scan_warnings(scan)) == [], "what build makes by default gives nothing to act on"
    with Image.open(scan.train.vlr_images[0].path) as vlr, Image.open(scan.train.hr_images[0].path) as hr:
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


def test_a_larger_photo_is_cut_to_its_centre_square(faces: Path, tmp_path: Path) -> None:
    for path in sorted(faces.rglob("*.png")):
        with Image.open(path) as face:
            wide = Image.new("RGB", (3 * face.width, face.height), "red")
            wide.paste(face, (face.width, 0))
        wide.save(path)
    built = build_dataset(faces, tmp_path / "out")
    for hr in built.output.rglob("hr_images/*.png"):
        with Image.open(hr) as image:
            assert image.getpixel((0, 56)) != (255, 0, 0), "the red sides are still there"
    [cropped] = [warning for warning in built.warnings if warning.code == "photos_cropped"]
    assert "15 of 15 photos are not square" in cropped.message


def test_nothing_is_written_when_an_image_is_broken_and_the_build_is_strict(faces: Path, tmp_path: Path) -> None:
    broken = next(faces.rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(ImagesSkipped, match=broken.name):
        build_dataset(faces, tmp_path / "out", rules=Rules(strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_what_cannot_be_built_is_named(faces: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputNotEmpty):
        build_dataset(faces, tmp_path / "out")
    with pytest.raises(NoPhotos, match="nor any other file"):
        build_dataset(tmp_path / "out", tmp_path / "new")
    with pytest.raises(FolderMissing):
        build_dataset(tmp_path / "nowhere", tmp_path / "new")
    with pytest.raises(OutputInsideFaces):
        build_dataset(faces, faces / "new")
    for folder in sorted(faces.iterdir())[:2]:
        folder.rename(tmp_path / f"away-{folder.name}")
    with pytest.raises(TooFewToSplit, match=r"3 subjects \(drawn002, drawn003, drawn004\) with 9 photos"):
        build_dataset(faces, tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "out", "away-drawn000", "away-drawn001"}
