"""Photos that are there twice, planted among real faces; and real faces, none of which may be taken for a copy."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageEnhance, ImageOps

from app.cli.dataset import dataset
from app.dataset_build import build_dataset
from app.finetune.dataset import scan_split
from app.finetune.leaks import AllowedLeaks, Copy, PartImage, exact_copies, find_copies, images_of, read_prints
from app.finetune.same_photo import (
    COPY_CORRELATION,
    Print,
    are_copies,
    copy_correlation,
    read_look,
    read_print,
    similar_pairs,
)
from tests.support.image_files import image_files
from tests.support.image_reads import image_reads


def recompressed(face: Image.Image) -> Image.Image:
    file = io.BytesIO()
    face.save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


def cropped(face: Image.Image) -> Image.Image:
    return face.crop((1, 1, 111, 111)).resize((112, 112), Image.Resampling.BICUBIC)


ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "the same": lambda face: face,
    "recompressed": recompressed,
    "mirrored": ImageOps.mirror,
    "brighter by a tenth": lambda face: ImageEnhance.Brightness(face).enhance(1.1),
    "resized": lambda face: face.resize((84, 84), Image.Resampling.BICUBIC),
    "cropped by a pixel": cropped,
    "mirrored, cropped and recompressed": lambda face: recompressed(cropped(ImageOps.mirror(face))),
}


@pytest.fixture(scope="module")
def aligned(shared_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten people of ORL, as a dataset of three parts."""
    folder = tmp_path_factory.mktemp("aligned")
    (folder / "faces").mkdir()
    for number in range(10, 20):
        (folder / "faces" / f"s{number}").symlink_to(shared_assets / "faces" / "orl_aligned" / f"s{number}")
    return build_dataset(folder / "faces", folder / "built").output


def plant(built: Path, folder: Path, alter: Callable[[Image.Image], Image.Image]) -> tuple[Path, str, str]:
    """A copy of the dataset with one of train's photos in val too, under another name; and both names."""
    for path in built.rglob("*.png"):
        target = folder / path.relative_to(built)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path)
    source = sorted((folder / "train_processed/hr_images").iterdir())[7]
    name = sorted((folder / "val_processed/hr_images").iterdir())[0].name.split("_")[0] + "_99.png"
    with Image.open(source) as face:
        planted = alter(face.convert("RGB"))
    planted.save(folder / "val_processed/hr_images" / name)
    planted.resize((16, 16), Image.Resampling.BICUBIC).save(folder / "val_processed/vlr_images" / name)
    return folder, source.name, name


def copies_in(folder: Path) -> list[Copy]:
    parts = {name: scan_split(folder / f"{name}_processed") for name in ("train", "val")}
    return find_copies(parts, read_prints(images_of(parts), threads=2)[0], threads=1)


@pytest.mark.parametrize("alter", ALTERED)
def test_a_copy_is_found_whatever_was_done_to_it(aligned: Path, tmp_path: Path, alter: str) -> None:
    folder, original, planted = plant(aligned, tmp_path, ALTERED[alter])
    done = CliRunner().invoke(dataset, ["check", str(folder)])
    assert done.exit_code == 2
    [leak] = [line for line in done.output.splitlines() if line.startswith("leak:")]
    assert {f"train {original}", f"val {planted}"} <= {
        leak[6:].split(" and ")[0],
        leak.split(" and ")[1].split(" (")[0],
    }
    assert leak.endswith("(a near-duplicate)") == (alter not in ("the same", "mirrored"))


@pytest.mark.parametrize("alter", [pytest.param("the same", marks=pytest.mark.slow), "recompressed"])
def test_a_copy_that_is_allowed_is_no_leak(aligned: Path, tmp_path: Path, alter: str) -> None:
    folder, original, planted = plant(aligned, tmp_path, ALTERED[alter])
    for name in (planted, original.removesuffix(".png"), f"{planted[:3]}={original[:3]}", "*"):
        assert CliRunner().invoke(dataset, ["check", str(folder), "--allow-leak", name]).exit_code == 0


def test_a_copy_in_test_is_named_when_the_dataset_is_built(shared_assets: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    for number in range(10, 16):
        (faces / f"s{number}").mkdir(parents=True)
        for path in sorted((shared_assets / "faces/orl_aligned" / f"s{number}").iterdir())[:3]:
            (faces / f"s{number}" / path.name).symlink_to(path)
    for subject in range(10, 16):  # of each person somebody else has a photo
        (faces / f"s{10 + (subject - 9) % 6}" / "99.png").symlink_to(faces / f"s{subject}" / "01.png")
    done = CliRunner().invoke(dataset, ["build", str(faces), "--output", str(tmp_path / "out")])
    leaks = [line for line in done.output.splitlines() if line.startswith("leak:")]
    assert len(leaks) == 6
    assert any("test s" in leak for leak in leaks)


@pytest.mark.parametrize("folder", ["orl", "orl_aligned", "yale_aligned"])
def test_no_two_photos_of_real_people_are_taken_for_one(shared_assets: Path, tmp_path: Path, folder: str) -> None:
    """Yale has nine pairs of files that are one photo, pixel by pixel, each of one person."""
    built = build_dataset(shared_assets / "faces" / folder, tmp_path / "out", test_fraction=0).output
    paths = sorted(built.rglob("hr_images/*.png"))
    prints = [read_print(path) for path in paths]
    pairs = list(similar_pairs(prints))
    equal = [(first, second) for first, second in pairs if prints[first].digest == prints[second].digest]
    assert len(equal) == (9 if folder == "yale_aligned" else 0)
    looks = {place: read_look(paths[place]) for pair in pairs for place in pair}
    assert [(paths[a], paths[b]) for a, b in pairs if (a, b) not in equal and are_copies(looks[a], looks[b])] == []
    assert copies_in(built) == []


def test_images_without_structure_are_no_copies() -> None:
    grey, white = (np.full((96, 96), level, np.uint8) for level in (128, 255))
    assert max(copy_correlation(grey, grey), copy_correlation(white, white)) < COPY_CORRELATION


def test_a_photo_with_many_candidates_is_decoded_twice_at_most(aligned: Path, tmp_path: Path) -> None:
    """Once for its print, once to be compared, whatever it is compared with."""
    folder, original, planted = plant(aligned, tmp_path, recompressed)
    subject = planted.split("_")[0]
    with Image.open(folder / "train_processed/hr_images" / original) as face:
        for quality in range(70, 95, 5):
            face.convert("RGB").save(folder / f"val_processed/hr_images/{subject}_{quality}.jpg", quality=quality)
    with image_reads(folder) as reads:
        copies = copies_in(folder)
    assert [copy.first.path.name for copy in copies] == [original] * 6
    assert max(reads.opens.values()) == max(reads.decodes.values()) == 2


def test_the_search_for_near_duplicates_can_be_stopped_where_nothing_is_similar(aligned: Path) -> None:
    prints = [read_print(path) for path in sorted((aligned / "val_processed/hr_images").iterdir())[::9]]
    blocks: list[None] = []
    assert list(similar_pairs(prints, lambda: blocks.append(None))) == []
    assert blocks


def test_equal_images_are_told_by_the_first_of_each_subject_in_each_part() -> None:
    """A camera that was covered for a minute makes thousands of equal images."""
    blank = Print(b"blank", bytes(256))
    of_two = {PartImage("train", image): blank for image in image_files(f"a_{number}.png" for number in range(3000))}
    names = [f"{subject}_{number}.png" for subject in "ab" for number in range(3000)]
    of_two |= {PartImage("val", image): blank for image in image_files(names)}
    assert {str(copy) for copy in exact_copies(of_two)} == {
        "train a_0.png and val a_0.png",
        "train a_0.png and val b_0.png",
        "val a_0.png and val b_0.png",
    }
    of_many = {PartImage("train", image): blank for image in image_files(f"{subject}_0.png" for subject in range(1000))}
    assert len(list(exact_copies(of_many))) == 10_000


def test_entries_that_allow_nothing_are_told() -> None:
    allowed = AllowedLeaks(["b=a", "typo.png", "*"])
    assert allowed.people("a", "b")
    [warning] = allowed.unused_warnings(people_compared=True)
    assert "typo.png" in warning.message
    assert "b=a" not in warning.message
    assert not AllowedLeaks(["b=a"]).people("a", "c")
    not_compared = AllowedLeaks(["b=c", "typo.png"])
    [warning] = not_compared.unused_warnings(people_compared=False)
    assert "b=c" not in warning.message, "nobody knows whether it is one"
