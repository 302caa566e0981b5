"""A folder that is laid out in another way than the pattern says is named with what it is."""

import shutil
from pathlib import Path

import pytest

from app.dataset_build import Rules, build_dataset
from app.dataset_build.errors import AlreadyDataset, FacesNested, NoPhotos, SubjectsNotRead, TooFewToSplit
from app.drawn_faces import write_drawn_faces
from app.finetune.subject_patterns import SubjectPattern


def test_a_flat_folder_names_the_patterns_that_read_it(tmp_path: Path) -> None:
    write_drawn_faces(tmp_path / "drawn", subjects=16, images_per_subject=2, seed=1)
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, folder in enumerate(sorted((tmp_path / "drawn").iterdir())):
        for image, path in enumerate(sorted(folder.iterdir()), start=1):
            path.rename(flat / f"{'ABCDEFGH'[number // 2]}aron_{chr(75 + number)}ee_{image:04}.png")
    with pytest.raises(SubjectsNotRead) as raised:
        build_dataset(flat, tmp_path / "out")
    assert "none of the 32 images" in raised.value.message
    assert "guide: 8 subjects of 32 images; lfw: 16 subjects of 32 images" in raised.value.message
    assert "--subject-pattern" in raised.value.hint
    by_lfw = build_dataset(flat, tmp_path / "lfw", rules=lfw())
    assert sum(part.subjects for part in by_lfw.parts) == 16
    by_guide = build_dataset(flat, tmp_path / "guide", rules=Rules(SubjectPattern("guide")))
    assert sum(part.subjects for part in by_guide.parts) == 8
    told = [{warning.code for warning in built.warnings} for built in (by_lfw, by_guide)]
    assert ["subject_groups" in codes for codes in told] == [False, True]


def lfw() -> Rules:
    return Rules(SubjectPattern("lfw"))


def test_a_pattern_that_reads_nothing_names_those_that_do(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(SubjectsNotRead, match="folder: 5 subjects of 15 images"):
        build_dataset(faces, tmp_path / "out", rules=lfw())


def test_a_dataset_is_not_built_again(faces: Path, tmp_path: Path) -> None:
    built = build_dataset(faces, tmp_path / "datasets" / "out").output
    for folder in (built, built.parent, built / "train_processed"):
        with pytest.raises(AlreadyDataset) as raised:
            build_dataset(folder, tmp_path / "again")
        assert f"dataset check {built}`" in raised.value.hint


def test_people_one_folder_deeper_are_found_and_named(faces: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    shutil.move(faces, outer / "faces")
    (outer / "readme.txt").write_text("")
    with pytest.raises(FacesNested) as raised:
        build_dataset(outer, tmp_path / "out")
    assert "faces/drawn000, faces/drawn001" in raised.value.message
    assert f"dataset build {outer / 'faces'}" in raised.value.hint


def test_people_in_folders_of_splits_are_told_from_people_called_train(faces: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    for number, folder in enumerate(sorted(faces.iterdir())):
        (outer / ("train", "val")[number % 2]).mkdir(parents=True, exist_ok=True)
        folder.rename(outer / ("train", "val")[number % 2] / folder.name)
    with pytest.raises(FacesNested) as raised:
        build_dataset(outer, tmp_path / "out")
    pattern = raised.value.hint.split("'")[1]
    built = build_dataset(outer, tmp_path / "out", rules=Rules(SubjectPattern(pattern)))
    assert sum(part.subjects for part in built.parts) == 5


def write_people(folder: Path, layout: str, count: int = 6) -> Path:
    """Six photos each of so many people, at `layout`, which has the places of a person and of a photo."""
    write_drawn_faces(folder / "drawn", subjects=count, images_per_subject=6, seed=1)
    names = ["anna", "ben", "cleo", "dirk", "eva", "finn"]
    for person, drawn in zip(names, sorted((folder / "drawn").iterdir()), strict=False):
        for number, photo in enumerate(sorted(drawn.iterdir())):
            path = folder / "faces" / layout.format(person=person, number=number, half=number % 2)
            path.parent.mkdir(parents=True, exist_ok=True)
            photo.rename(path)
    return folder / "faces"


@pytest.mark.parametrize(
    ("layout", "warned"),
    [
        ("cam{number}/{person}/1.png", True),
        ("2024-01-0{number}/{person}/1.png", True),
        ("LR_x{half}/{person}/{number}.png", True),
        ("{person}/video{number}/frame.png", False),
        ("{person}/0{number}/1.png", False),
        ("{person}/session {number}/hr/1.png", False),
        ("{person}/HR/{number}.png", False),
        ("{person}/{number}.png", False),
    ],
)
def test_cameras_with_a_folder_for_each_person_are_warned_of(layout: str, warned: bool, tmp_path: Path) -> None:
    faces = write_people(tmp_path, layout)
    rules = Rules(allowed_leaks=("*",))
    if len(list(faces.iterdir())) == 2:
        with pytest.raises(TooFewToSplit) as raised:
            build_dataset(faces, tmp_path / "out", rules=rules)
        pattern = raised.value.hint.split(": ")[1]
        assert "6 subjects of 36 images" in raised.value.hint
    else:
        built = build_dataset(faces, tmp_path / "out", rules=rules, test_fraction=0)
        (message,) = [each.message for each in built.warnings if each.code == "subjects_may_be_nested"] or [""]
        assert bool(message) == warned
        if not warned:
            return
        pattern = message.split("'")[1]
    again = build_dataset(faces, tmp_path / "again", rules=Rules(SubjectPattern(pattern)))
    assert sum(part.subjects for part in again.parts) == 6
    assert not [each for each in again.warnings if each.code == "subjects_may_be_nested"]


def test_a_pattern_that_finds_too_few_people_names_those_that_find_more(tmp_path: Path) -> None:
    faces = write_people(tmp_path, "Dr_{person}_{number:04}.png")
    for split in ("subjects", "images"):
        with pytest.raises(TooFewToSplit) as raised:
            build_dataset(faces, tmp_path / "out", rules=Rules(SubjectPattern("guide")), split=split)
        assert "lfw: 6 subjects of 36 images" in raised.value.hint
    assert sum(part.subjects for part in build_dataset(faces, tmp_path / "out", rules=lfw()).parts) == 6


def test_no_other_pattern_is_named_where_people_are_few(tmp_path: Path) -> None:
    faces = write_people(tmp_path, "{person}/{number}.png", count=3)
    with pytest.raises(TooFewToSplit) as raised:
        build_dataset(faces, tmp_path / "out")
    assert raised.value.hint == "add photos of more people, or of each"


def test_a_single_person_is_named(faces: Path, tmp_path: Path) -> None:
    for folder in sorted(faces.iterdir())[1:]:
        shutil.rmtree(folder)
    with pytest.raises(TooFewToSplit, match=r"1 subject \(drawn000\) with 3 photos"):
        build_dataset(faces, tmp_path / "out")
    with pytest.raises(TooFewToSplit, match=r"1 subject \(drawn000\) with 3 photos"):
        build_dataset(faces, tmp_path / "out", split="images")


def test_a_folder_without_images_says_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "faces" / "anna").mkdir(parents=True)
    for name in ("1.mov", "2.mov", ".hidden.png"):
        (tmp_path / "faces" / "anna" / name).touch()
    with pytest.raises(NoPhotos, match=r"2 \.mov, 1 hidden"):
        build_dataset(tmp_path / "faces", tmp_path / "out")
