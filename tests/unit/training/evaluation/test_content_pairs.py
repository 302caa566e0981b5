"""A photo is not compared with itself, whatever its VLR and its HR file are called."""

from pathlib import Path

import pytest
from PIL import Image

from app.finetune.dataset_errors import NothingToCompare
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import RecognitionMeasured, TrainingEvent, Warned
from tests.unit.training.support import tiny_config
from worker.training.evaluation.evaluate_backbone import evaluate_backbone
from worker.training.finetune import finetune
from worker.training.storage.paths import EvaluationFiles, TrainingFiles

PEOPLE, PHOTOS = 4, 3


def write_split(faces: Path, folder: Path, vlr_name: str, hr_name: str, photos: int = PHOTOS) -> Path:
    for kind in ("vlr_images", "hr_images"):
        (folder / kind).mkdir(parents=True)
    for person in sorted(path for path in faces.iterdir() if path.is_dir())[:PEOPLE]:
        for place, photo in enumerate(sorted(person.iterdir())[:photos]):
            stem = f"{person.name}_{place:02}"
            with Image.open(photo) as face:
                face.save(folder / "hr_images" / f"{stem}{hr_name}.png")
                face.resize((16, 16), Image.Resampling.BICUBIC).save(folder / "vlr_images" / f"{stem}{vlr_name}.png")
    return folder


@pytest.fixture
def faces(shared_assets: Path) -> Path:
    return shared_assets / "faces" / "orl_aligned"


@pytest.fixture
def weights(shared_assets: Path) -> Path:
    return shared_assets / "weights" / "edgeface_xxs.pt"


@pytest.mark.parametrize(("vlr_name", "hr_name"), [("_LR", "_HR"), ("_x", "_y")])
def test_an_evaluation_has_the_figures_of_equal_names(
    faces: Path, weights: Path, tmp_path: Path, vlr_name: str, hr_name: str
) -> None:
    found = []
    for folder, names in (("equal", ("", "")), ("other", (vlr_name, hr_name))):
        split = write_split(faces, tmp_path / folder, *names)
        config = EvaluationConfig(eval_dir="val", device="cpu", num_workers=0)
        found.append(evaluate_backbone(config, EvaluationFiles(split, weights)).evaluation)
    equal, other = found
    assert [each.verification for each in other.comparisons] == [each.verification for each in equal.comparisons]
    assert [each.identification for each in other.comparisons] == [each.identification for each in equal.comparisons]
    by_pixels = [warning.code for warning in other.warnings if warning.code == "pairs_by_content"]
    assert len(by_pixels) == (vlr_name == "_x")


def test_what_compares_photos_with_themselves_alone_is_refused(faces: Path, weights: Path, tmp_path: Path) -> None:
    split = write_split(faces, tmp_path / "val", "_x", "_y", photos=1)
    with pytest.raises(NothingToCompare, match="single photo"):
        evaluate_backbone(EvaluationConfig(eval_dir="val", device="cpu"), EvaluationFiles(split, weights))


def test_a_training_has_the_figures_of_equal_names(faces: Path, weights: Path, tmp_path: Path) -> None:
    found = []
    for folder, names in (("equal", ("", "")), ("other", ("_x", "_y"))):
        train = write_split(faces, tmp_path / folder / "train", "", "")
        val = write_split(faces, tmp_path / folder / "val", *names)
        for path in (*train.glob("*/*.png"), *val.glob("*/*.png")):  # other people, by name
            path.rename(path.with_name(f"{path.parent.parent.name}{path.name}"))
        files = TrainingFiles(train, val, weights, None, tmp_path / folder / "out", tmp_path / folder / "prepared")
        events: list[TrainingEvent] = []
        finetune(tiny_config(stage1_epochs=0, stage2_epochs=1, allowed_leaks=["*"]), files, events.append)
        found.append(events)
    equal, other = ([each.recognition for each in some if isinstance(each, RecognitionMeasured)] for some in found)
    assert len(equal) == 2
    assert other == equal
    assert "pairs_by_content" in [each.warning.code for each in found[1] if isinstance(each, Warned)]
