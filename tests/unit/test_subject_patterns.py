"""Which subject a file name gives, by each pattern."""

import time
from pathlib import Path

import pytest

from app.finetune.dataset import scan_split
from app.finetune.dataset_errors import FolderEmpty, SubjectPatternInvalid, SubjectsNotFound
from app.finetune.subject_patterns import NAMED_PATTERNS, SubjectPattern
from tests.support.images import write_images


@pytest.mark.parametrize(
    ("pattern", "file", "subject"),
    [
        ("guide", "007_01_01_010_00_crop_128.png", "007"),
        ("guide", "Aaron_A_0001.png", "Aaron"),
        ("guide", "nobody.png", "nobody"),
        ("lfw", "Aaron_A_0001.jpg", "Aaron_A"),
        ("lfw", "Aaron_A/Aaron_A_0001.jpg", "Aaron_A"),
        ("lfw", "Aaron_A_0001_LR.jpg", "Aaron_A"),
        ("folder", "Aaron_A/video 1/0001.jpg", "Aaron_A"),
        ("multipie", "001_01_02_051_07.png", "001"),
        ("casia", "0000045/001.jpg", "0000045"),
        ("scface", "001_cam1_1.jpg", "001"),
        ("scface", "001_frontal.JPG", "001"),
        (r"id-(?P<subject>[a-z]+)-.*", "id-ann-7.png", "ann"),
        (r"id-([a-z]+)-.*", "id-ann-7.png", "ann"),
    ],
)
def test_a_pattern_finds_the_subject(tmp_path: Path, pattern: str, file: str, subject: str) -> None:
    write_images(tmp_path / "vlr_images" / file, tmp_path / "hr_images" / file)
    split = scan_split(tmp_path, SubjectPattern(pattern))
    assert [image.subject for image in split.images] == [subject, subject]


@pytest.mark.parametrize("name", NAMED_PATTERNS)
def test_each_named_pattern_matches_its_example(tmp_path: Path, name: str) -> None:
    write_images(tmp_path / "vlr_images" / NAMED_PATTERNS[name].example)
    assert scan_split(tmp_path, SubjectPattern(name), hr_required=False).subjects


def test_images_without_a_subject_are_named_with_the_rule(tmp_path: Path) -> None:
    write_images(tmp_path / "vlr_images" / "a_1.png", tmp_path / "vlr_images" / "portrait.png")
    with pytest.raises(SubjectsNotFound, match=r"1 of 2 images .*portrait.*up to its last `_` and number"):
        scan_split(tmp_path, SubjectPattern("lfw"), hr_required=False)


def test_subfolders_are_named_where_the_pattern_does_not_read_them(tmp_path: Path) -> None:
    write_images(tmp_path / "vlr_images" / "ann" / "1.png")
    with pytest.raises(FolderEmpty, match=r"1 folder \(ann\)") as refused:
        scan_split(tmp_path, hr_required=False)
    assert "subject_pattern folder" in refused.value.hint


@pytest.mark.parametrize("text", ["", "lwf", "(", "a" * 501, r"(a)\1"])
def test_what_is_no_pattern_is_refused_with_the_names_that_are(text: str) -> None:
    with pytest.raises(SubjectPatternInvalid) as refused:
        SubjectPattern(text)
    assert "lfw" in refused.value.hint


def test_no_expression_hangs() -> None:
    started = time.process_time()
    assert SubjectPattern("(a+)+b").subject_of("a" * 250) is None
    assert time.process_time() - started < 60, "exponential in the length: it would take years"
