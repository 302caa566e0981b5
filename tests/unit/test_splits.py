"""Who ends up in which part, for any number of people and any fractions."""

import random
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from app.cli.dataset import dataset
from app.dataset_build import Part, build_dataset, build_folds, split_folds, split_subjects
from app.dataset_build.errors import CannotFold
from app.drawn_faces import write_drawn_faces

PEOPLE = st.integers(0, 60).map(lambda count: [f"s{number}" for number in range(count)])
FRACTIONS = st.floats(0.01, 0.9)


def sizes(parts: Iterable[Part]) -> Counter[Part]:
    return Counter(parts)


@given(PEOPLE, FRACTIONS, st.just(0.0) | FRACTIONS, st.integers())
def test_each_person_is_in_one_part_and_no_part_has_a_single_person(
    people: list[str], val_fraction: float, test_fraction: float, seed: int
) -> None:
    part_of = split_subjects(people, val_fraction, test_fraction, random.Random(seed))
    if len(people) < 4:
        assert part_of is None
        return
    assert part_of is not None
    assert part_of.keys() == set(people)
    counts = sizes(part_of.values())
    assert counts.keys() == {"train", "val"} | ({"test"} if test_fraction and len(people) >= 6 else set())
    assert min(counts.values()) >= 2
    assert part_of == split_subjects(reversed(people), val_fraction, test_fraction, random.Random(seed))


def test_by_default_three_fifths_of_forty_people_are_trained_on() -> None:
    part_of = split_subjects([f"s{number}" for number in range(40)], 0.2, 0.2, random.Random(42))
    assert part_of is not None
    assert sizes(part_of.values()) == {"train": 24, "val": 8, "test": 8}


@given(PEOPLE, st.integers(2, 12), FRACTIONS, st.integers())
def test_each_person_is_in_test_in_one_fold(people: list[str], folds: int, val_fraction: float, seed: int) -> None:
    splits = split_folds(people, folds, val_fraction, random.Random(seed))
    if splits is None:
        assert len(people) < max(2 * folds, 6) or len(people) - -(-len(people) // folds) < 4
        return
    assert len(splits) == folds
    tested = Counter(name for part_of in splits for name, part in part_of.items() if part == "test")
    assert tested == dict.fromkeys(people, 1)
    for part_of in splits:
        assert part_of.keys() == set(people)
        counts = sizes(part_of.values())
        assert min(counts[part] for part in ("train", "val", "test")) >= 2
    assert max(Counter(tested).values()) == 1


@given(st.integers(2, 40), st.integers(2, 12))
def test_the_folds_that_the_error_names_are_possible(people: int, folds: int) -> None:
    names = [f"s{number}" for number in range(people)]
    if split_folds(names, folds, 0.2, random.Random(1)) is not None:
        return
    hint = CannotFold(Path("faces"), people, folds).hint
    for number in re.findall(r"\d+", hint.partition(",")[0]):
        assert "at least" in hint or split_folds(names, int(number), 0.2, random.Random(1)) is not None


def people_in(folder: Path) -> dict[str, set[str]]:
    return {
        part.name.removesuffix("_processed"): {path.name.split("_")[0] for path in part.glob("hr_images/*")}
        for part in folder.glob("*_processed")
    }


def test_folds_are_whole_datasets_and_nothing_is_left_of_failed_ones(tmp_path: Path) -> None:
    write_drawn_faces(tmp_path / "faces", subjects=7, images_per_subject=2, seed=1)
    built = build_folds(tmp_path / "faces", tmp_path / "folds", folds=3)
    assert [each.output for each in built] == [tmp_path / "folds" / f"fold-{number}" for number in (1, 2, 3)]
    tested: Counter[str] = Counter()
    for each in built:
        parts = people_in(each.output)
        assert parts.keys() == {"train", "val", "test"}
        assert sum(map(len, parts.values())) == len(set[str]().union(*parts.values())) == 7
        tested.update(parts["test"])
    assert set(tested.values()) == {1}
    assert len(tested) == 7
    with pytest.raises(CannotFold, match="7 subjects, which cannot be divided into 4 folds"):
        build_folds(tmp_path / "faces", tmp_path / "more", folds=4)
    broken = next((tmp_path / "faces").rglob("*.png"))
    broken.write_bytes(broken.read_bytes()[:100])
    done = CliRunner().invoke(
        dataset, ["build", str(tmp_path / "faces"), "--output", str(tmp_path / "more"), "--folds", "2", "--strict"]
    )
    assert done.exit_code != 0
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "folds"}


def test_a_closed_set_gives_each_part_images_of_each_person(tmp_path: Path) -> None:
    write_drawn_faces(tmp_path / "faces", subjects=4, images_per_subject=5, seed=1)
    built = build_dataset(tmp_path / "faces", tmp_path / "closed", split="images")
    assert {(part.name, part.images, part.subjects) for part in built.parts} == {
        ("train", 12, 4),
        ("val", 4, 4),
        ("test", 4, 4),
    }
    names = [path.name for path in built.output.rglob("hr_images/*")]
    assert len(names) == len(set(names)) == 20


def test_the_command_says_what_each_part_has(tmp_path: Path) -> None:
    write_drawn_faces(tmp_path / "faces", subjects=10, images_per_subject=2, seed=1)
    out = str(tmp_path / "out")
    done = CliRunner().invoke(dataset, ["build", str(tmp_path / "faces"), "--output", out])
    assert f"{out}: train 12 images of 6 subjects, val 4 images of 2 subjects, test 4 images of 2" in done.output
    arguments = ["build", str(tmp_path / "faces"), "--output"]
    done = CliRunner().invoke(dataset, [*arguments, f"{out}2", "--test-fraction", "0"])
    assert "train 16 images of 8 subjects, val 4 images of 2 subjects, VLR" in done.output
    for subject in sorted((tmp_path / "faces").iterdir())[5:]:
        subject.rename(tmp_path / f"away-{subject.name}")
    done = CliRunner().invoke(dataset, ["build", str(tmp_path / "faces"), "--output", f"{out}3"])
    assert "no test split: there are too few subjects" in done.output
