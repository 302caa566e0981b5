"""Which VLR and HR images count as one photo."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.finetune.dataset import check_comparable, comparable, scan_dataset, scan_split
from app.finetune.dataset_errors import FolderMissing, NothingToCompare, NothingToSelectBy
from app.finetune.dataset_warnings import split_warnings
from app.finetune.photo_names import find_photos
from app.finetune.subject_patterns import SubjectPattern
from tests.support.images import write_images


def pairs(folder: Path) -> list[tuple[str, str]]:
    split = scan_split(folder)
    hr = {image.photo: image.name for image in split.hr_images}
    return [(image.name, hr.get(image.photo, "")) for image in split.vlr_images]


def write_split(folder: Path, vlr: list[str], hr: list[str]) -> Path:
    write_images(*(folder / "vlr_images" / name for name in vlr), *(folder / "hr_images" / name for name in hr))
    return folder


@pytest.mark.parametrize(
    ("vlr", "hr"),
    [
        ("s11_01.png", "s11_01.jpg"),
        ("s11_01_LR.png", "s11_01_HR.png"),
        ("s11_01-lr.png", "s11_01.png"),
        ("0801_7x4.png", "0801_7.png"),
        (unicodedata.normalize("NFD", "zoë_1.png"), unicodedata.normalize("NFC", "zoë_1.png")),
    ],
)
def test_one_photo_is_a_pair_and_not_compared_with_itself(tmp_path: Path, vlr: str, hr: str) -> None:
    folder = write_split(tmp_path, [vlr, "b_1.png"], [hr, "b_1.png"])
    assert (vlr, hr) in pairs(folder)
    assert not comparable(scan_split(folder)), "each subject has a single photo"


def test_several_resolutions_of_a_photo_are_that_photo(tmp_path: Path) -> None:
    folder = write_split(tmp_path, ["a_1x2.png", "a_1x4.png"], ["a_1.png"])
    assert pairs(folder) == [("a_1x2.png", "a_1.png"), ("a_1x4.png", "a_1.png")]


def test_files_that_differ_only_in_their_suffix_are_different_photos(tmp_path: Path) -> None:
    names = ["s01_01.jpg", "s01_01.png", "s01_02.png"]
    folder = write_split(tmp_path, names, names)
    assert pairs(folder) == [(name, name) for name in names]
    split = scan_split(folder)
    genuine = sum(probe.photo != mate.photo for probe in split.vlr_images for mate in split.hr_images)
    assert genuine == 6
    told = {warning.code: warning.message for warning in split_warnings(split, "val")}
    assert "s01_01.jpg, s01_01.png" in told["names_differ_in_suffix"]


def test_a_mark_that_would_join_two_photos_of_a_kind_is_part_of_the_name(tmp_path: Path) -> None:
    names = ["s_x2.png", "s_x4.png"]
    assert pairs(write_split(tmp_path, names, names)) == [(name, name) for name in names]


def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    folder = write_split(tmp_path, ["a_1.png", "._a_1.png"], ["a_1.png", "._a_1.png"])
    assert [image.name for image in scan_split(folder).images] == ["a_1.png", "a_1.png"]


def test_names_that_nearly_match_are_shown(tmp_path: Path) -> None:
    folder = write_split(tmp_path, ["IMG31_1.png", "b_1.png"], ["img31_01.png", "b_1.png"])
    told = {warning.code: warning.message for warning in split_warnings(scan_split(folder), "val")}
    assert "letter by letter" in told["hr_missing"]
    assert "IMG31_1 and img31_01" in told["hr_missing"]


def test_a_val_that_cannot_be_compared_says_why(tmp_path: Path) -> None:
    train = write_split(tmp_path / "train", ["a_1.png", "b_1.png"], ["a_1.png", "b_1.png"])
    other = write_split(tmp_path / "other", ["IMG31_1.png", "IMG32_1.png"], ["img31_1.png", "img32_1.png"])
    with pytest.raises(NothingToSelectBy, match="no subject has VLR and HR images: vlr_images/ has IMG31, IMG32"):
        scan_dataset(train, other)
    unnamed = write_split(tmp_path / "unnamed", ["ann.png", "bob.png"], ["ann.png", "bob.png"])
    with pytest.raises(NothingToSelectBy, match=r"single photo, as in ann\.png, bob\.png .*up to the first `_`"):
        scan_dataset(train, unnamed)
    with pytest.raises(NothingToCompare, match="single photo"):
        check_comparable(scan_split(unnamed))


def val_of(names: list[str]) -> tuple[list[str], list[str]]:
    return [f"{name}.png" for name in names], [f"{name}.png" for name in names]


INCOMPARABLE = {
    "hyphens": (*val_of(["s05-01", "s05-02", "s06-01", "s06-02"]), r"subject_pattern (.+)[-_. ]+\d+ there are 2"),
    "spaces": (*val_of(["s05 01", "s05 02", "s06 01", "s06 02"]), r"subject_pattern (.+)[-_. ]+\d+ there are 2"),
    "no separators": (*val_of(["ann1", "ann2", "bob1", "bob2"]), r"subject_pattern (\D+)\d+ there are 2 subjects (ann"),
    "first names": (*val_of(["Dr_Ann_01", "Dr_Ann_02", "Dr_Bob_01", "Dr_Bob_02"]), "subject_pattern lfw there are 2"),
    "hyphens in HR": (["s01_01.png", "s02_01.png"], ["s01-01.png", "s02-01.png"], "do not match: s01_01 and s01-01"),
    "capitals in HR": (["IMG1_1.png", "IMG2_1.png"], ["img1_1.png", "img2_1.png"], "do not match: IMG1_1 and img1_1"),
    "capitals of subjects": (["Ann_1.png", "Bob_1.png"], ["ann_2.png", "bob_2.png"], "do not match: Ann and ann"),
    "other people": (["a_1.png", "b_1.png"], ["c_1.png", "d_1.png"], "give each subject images in vlr_images/ and in"),
    "one person": (*val_of(["ann_x", "ann_y"]), "add images of a second subject"),
    "one photo each": (*val_of(["ann_x", "bob_x"]), "add a second photo of a subject"),
}


@pytest.mark.parametrize("case", INCOMPARABLE)
def test_the_hint_about_a_val_that_cannot_be_compared_names_what_to_change(case: str, tmp_path: Path) -> None:
    vlr, hr, said = INCOMPARABLE[case]
    train = write_split(tmp_path / "train", ["t_1.png", "u_1.png"], ["t_1.png", "u_1.png"])
    val = write_split(tmp_path / "val", vlr, hr)
    with pytest.raises(NothingToSelectBy) as to_select:
        scan_dataset(train, val)
    with pytest.raises(NothingToCompare) as to_compare:
        check_comparable(scan_split(val))
    for error in (to_select.value, to_compare.value):
        assert said in error.hint
        assert "at least two" not in error.hint
    if "subject_pattern (" in said or "subject_pattern lfw" in said:
        pattern = SubjectPattern(said.removeprefix("subject_pattern ").split(" there")[0])
        assert len(scan_dataset(train, val, val_pattern=pattern).val.subjects) == 2


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        ("VLR_images", "vlr_images"),
        ("vlr", "vlr_images"),
        ("Train_processed", "train_processed"),
        ("val", "val_processed"),
    ],
)
def test_a_missing_folder_names_the_one_that_may_be_meant(there: str, missing: str, tmp_path: Path) -> None:
    for part in ("train_processed", "val_processed"):
        write_split(tmp_path / part, ["a_1.png", "b_1.png"], ["a_1.png", "b_1.png"])
    (renamed,) = [path for path in (tmp_path, tmp_path / "train_processed") if (path / missing).is_dir()]
    (renamed / missing).rename(renamed / there)
    with pytest.raises(FolderMissing) as raised:
        scan_dataset(tmp_path / "train_processed", tmp_path / "val_processed")
    assert f"{renamed / missing} does not exist, but {renamed} has {there}" in raised.value.message
    assert raised.value.hint == f"rename the folder: mv {renamed / there} {renamed / missing}"


def test_a_missing_folder_names_no_other_kind_of_folder(tmp_path: Path) -> None:
    (tmp_path / "hr_images").mkdir()
    (tmp_path / "test_processed").mkdir()
    with pytest.raises(FolderMissing, match=r"vlr_images does not exist\Z"):
        scan_split(tmp_path)
    with pytest.raises(FolderMissing, match=r"train_processed does not exist\Z"):
        scan_split(tmp_path / "train_processed")


NAMES = st.lists(st.text("ab_1xLRHlrh24.-", min_size=1, max_size=8), max_size=8, unique=True)


@given(NAMES, NAMES)
def test_every_image_has_a_photo_and_no_two_hr_images_share_one(vlr: list[str], hr: list[str]) -> None:
    vlr_names, hr_names = (
        {Path(kind, f"{name}.png"): name for name in names} for kind, names in (("v", vlr), ("h", hr))
    )
    photos = find_photos(vlr_names, hr_names)
    assert photos.keys() == vlr_names.keys() | hr_names.keys()
    of_hr = [photos[path] for path in hr_names]
    assert len(of_hr) == len(set(of_hr))
    for name in set(vlr) & set(hr):
        assert photos[Path("v", f"{name}.png")] == photos[Path("h", f"{name}.png")]
