"""The recognition benchmark tells people apart, keeps what it measured, and checks what is wanted."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.recognition.cells import Cell, Cells, Measured
from benchmarks.recognition.outcome import BICUBIC, CEILING, GUIDE, ORL, RECOMMENDED, YALE, outcome
from benchmarks.recognition.people import FOLDS, read_fold, unseen_of
from benchmarks.recognition.rates import HR, MEASURES, Rate, Rates
from benchmarks.recognition.trainings import config_of, what_figures_depend_on

SIZES = (8, 12, 16, 24)


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    for person in range(8):
        (tmp_path / "faces" / f"p_{person}").mkdir(parents=True)
        for image in range(2):
            colour = (30 * person, 100 * image, 0)
            Image.new("RGB", (112, 112), colour).save(tmp_path / "faces" / f"p_{person}" / f"{image}.png")
    return tmp_path / "faces"


def test_nobody_is_trained_on_who_is_tried_on_and_all_are_tried_on_once(faces: Path) -> None:
    everybody = {path.name for path in faces.iterdir()}
    for number in range(FOLDS):
        fold = read_fold(faces, number)
        assert not set(fold.train.names) & set(fold.unseen.names)
        assert {*fold.train.names, *fold.unseen.names} == everybody
        assert fold.unseen.files[0].name.split("_", 1)[0] == fold.unseen.names[0].replace("_", "-")
    assert sorted(name for ten in unseen_of(faces) for name in ten) == sorted(everybody)


def rates(value: float, spread: float = 0.0) -> Rates:
    draws = np.linspace(value - spread, value + spread, 101)
    return {measure: Rate(value, draws) for measure in MEASURES}


def test_a_cell_that_is_kept_is_not_measured_again(tmp_path: Path) -> None:
    measured: Measured = {ORL: {HR: rates(0.5, 0.1)}}
    cell = Cell(GUIDE, 1, 2, 12, {"config": {}})
    kept = Cells(tmp_path).get(cell, lambda: measured)
    found = Cells(tmp_path).get(cell, lambda: pytest.fail("measured again"))
    for measure in MEASURES:
        assert found[ORL][HR][measure].value == kept[ORL][HR][measure].value
        assert found[ORL][HR][measure].interval == pytest.approx(kept[ORL][HR][measure].interval, abs=1e-5)
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]
    others = [Cell(GUIDE, 1, 2, 12, {"config": {"x": 1}}), Cell(GUIDE, 0, 2, 12, {"config": {}})]
    assert len({cell.name, *(other.name for other in others)}) == 3


def test_a_cell_that_was_broken_off_is_measured_again(tmp_path: Path) -> None:
    def breaks() -> Measured:
        raise KeyboardInterrupt

    cell = Cell(GUIDE, 1, 2, 12, {})
    with pytest.raises(KeyboardInterrupt):
        Cells(tmp_path).get(cell, breaks)
    assert Cells(tmp_path).get(cell, lambda: {ORL: {HR: rates(1.0)}})[ORL][HR]["rank-1"].value == 1.0


def test_a_cell_depends_on_every_number_of_its_recipe_but_the_seed_which_it_names_itself() -> None:
    recommended = config_of("recommended", seed=3)
    numbers = what_figures_depend_on(recommended)
    assert numbers == what_figures_depend_on(config_of("recommended", seed=4))
    for name in ("hr_share", "contrastive_temperature", "weight_decay"):
        assert what_figures_depend_on(recommended.model_copy(update={name: 0.25})) != numbers


def test_differences_are_paired_by_people() -> None:
    """Both rise and fall with the people drawn: what is left between them does not."""
    draws = np.random.default_rng(0).normal(0.6, 0.2, 1000)
    ours, theirs = Rate(0.7, draws + 0.1), Rate(0.6, draws)
    assert ours.minus(theirs).interval == pytest.approx((0.1, 0.1))
    assert ours.interval[0] < theirs.interval[1]


def found(recommended: float, guide: float, kept: float = 1.0) -> dict[tuple[str, str, str], Rates]:
    table = {}
    for people in (ORL, YALE):
        for size in map(str, SIZES):
            table[BICUBIC, people, size] = rates(0.3)
            table[GUIDE, people, size] = rates(guide, 0.01)
            table[RECOMMENDED, people, size] = rates(recommended, 0.02)
        table[CEILING, people, HR] = rates(1.0)
        table[RECOMMENDED, people, HR] = rates(kept)
    return table


def missed(table: dict[tuple[str, str, str], Rates]) -> list[str]:
    return [target.name for target in outcome(table, SIZES, "once").targets if not target.met]


def test_what_is_wanted_is_checked_and_what_is_missed_is_named() -> None:
    assert missed(found(0.99, 0.5)) == []
    assert [name for name in missed(found(0.97, 0.5)) if "16 px" in name] == [
        "recommended, ORL, unseen people, 16 px, TAR@0.1%"
    ]
    assert len(missed(found(0.99, 0.985))) == 8, "not outside the interval, anywhere"
    assert missed(found(0.99, 0.5, kept=0.992)) == ["recommended, ORL, unseen people, HR, TAR@0.1% lost"]


def test_every_row_that_was_measured_is_shown() -> None:
    table = outcome(found(0.99, 0.5), SIZES, "once").tables[0]
    assert [row[0] for row in table.rows] == [BICUBIC, GUIDE, RECOMMENDED, CEILING]
    without_ours = {key: rates for key, rates in found(0.99, 0.5).items() if key[0] != RECOMMENDED}
    assert outcome(without_ours, SIZES, "once").targets == []
