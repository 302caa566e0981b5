"""Names that put several people under one subject are warned of, names of sessions, cameras and expressions are not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.finetune.dataset import scan_split
from app.finetune.dataset_warnings import split_warnings
from app.finetune.subject_groups import ANY_ENDING, describe_groups, subject_groups, subject_groups_warning
from app.finetune.subject_patterns import GUIDE, SubjectPattern

PEOPLE = ["Aaron_A_0001", "Aaron_A_0002", "Aaron_B_0001", "Bo_Chen_0001", "Bo_Lee_0002", "Anna-Maria_O'Neil_0003"]


def guide(names: list[str]) -> list[tuple[str, str]]:
    return [(GUIDE.subject_of(name) or "", name) for name in names]


def test_people_who_share_a_first_name_are_named() -> None:
    assert subject_groups(guide(PEOPLE)) == {"Aaron": ["Aaron_A", "Aaron_B"], "Bo": ["Bo_Chen", "Bo_Lee"]}
    groups = describe_groups(subject_groups(guide(PEOPLE)))
    warning = subject_groups_warning(len(groups), "; ".join(groups), "train")
    assert warning.code == "subject_groups"
    assert "2 train subjects" in warning.message
    assert "Aaron: Aaron_A, Aaron_B" in warning.message


def test_a_surname_of_two_people_is_no_expression() -> None:
    names = ["Anna_Smith_0001", "Anna_Jones_0001", "John_Smith_0001", "John_Doe_0002"]
    assert subject_groups(guide(names)).keys() == {"Anna", "John"}


@pytest.mark.parametrize(
    "ending",
    ["_{}", "-{}", " {}", "({})", " ({})", "_({})", "_{} (1)", "{}", "_000{}", "_a", "-b", "_C"],
)
def test_people_are_named_whatever_their_names_end_in(ending: str) -> None:
    names = [f"{person}{ending.format(1)}" for person in ("Aaron_Eckhart", "Aaron_Peirsol", "Bo_Van_Damme", "Cy_Lee")]
    assert subject_groups(guide(names)) == {"Aaron": ["Aaron_Eckhart", "Aaron_Peirsol"]}
    people = {SubjectPattern(ANY_ENDING).subject_of(name) for name in names}
    assert people == {"Aaron_Eckhart", "Aaron_Peirsol", "Bo_Van_Damme", "Cy_Lee"}


@pytest.mark.parametrize("mark", ["_LR", "_HR", "x4", "-vlr"])
def test_people_are_named_whatever_the_mark_of_their_resolution(mark: str, tmp_path: Path) -> None:
    for kind in ("vlr_images", "hr_images"):
        (tmp_path / kind).mkdir()
        for name in PEOPLE:
            (tmp_path / kind / f"{name}{mark}.png").touch()
    assert "subject_groups" in [warning.code for warning in split_warnings(scan_split(tmp_path), "train")]


@pytest.mark.parametrize(
    "names",
    [
        ["s01_01", "s01_02", "s02_01"],
        ["subject01_happy", "subject01_sad", "subject01_wink"],
        ["007_01_01_010_00_crop_128", "007_02_01_010_05_crop_128", "008_01_02_041_00_crop_128"],
        ["001_cam1_1", "001_cam2_1", "001_cam8_2", "001_frontal", "002_L1", "002_R3"],
        ["0000045_001", "0000045_002"],
        ["Aaron_A_0001", "Aaron_A_0002", "Bo_Lee_0001"],
        ["anna_left_01", "anna_right_01", "bob_left_01", "bob_right_01"],
        ["anna_beach_01", "anna_office_01", "bob_beach_01", "bob_office_01"],
        ["anna_2019_01", "anna_2020_01"],
        ["00001_930831_fa_1", "00001_940128_fb_1"],
        ["photo", "a", "a_b"],
        ["s1_1", "s1_10", "s40_a", "s40-b"],
        ["anna_1", "anna_2 (1)", "anna-3", "anna_a", "anna_b"],
        ["anna_beach", "anna_wedding", "bob_office"],
        ["anna_beach-1", "anna_office (2)", "bob_beach (1)", "bob_office-1"],
        ["anna_left-1", "anna_right1", "anna_smile (1)", "anna_L1", "anna_R3"],
    ],
)
def test_other_names_are_not(names: list[str]) -> None:
    assert subject_groups(guide(names)) == {}


@given(st.lists(st.text("aAbB_01/ .é", min_size=1, max_size=12)))
def test_any_names_are_read(names: list[str]) -> None:
    for subject, groups in subject_groups(guide(names)).items():
        assert len(groups) > 1
        assert all(any(name.startswith(group) for name in names) for group in groups)
        assert all(group.startswith(f"{subject}_") for group in groups)


def test_a_split_is_warned_of_unless_its_pattern_tells_the_people_apart(tmp_path: Path) -> None:
    for kind in ("vlr_images", "hr_images"):
        (tmp_path / kind).mkdir()
        for name in PEOPLE:
            (tmp_path / kind / f"{name}.png").touch()
    codes = [warning.code for warning in split_warnings(scan_split(tmp_path), "train")]
    assert codes == ["subject_groups"]
    assert not [*split_warnings(scan_split(tmp_path, SubjectPattern("lfw")), "train")]
