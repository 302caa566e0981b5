"""HR images under wrong names and subjects of two people are named, clean data sets are not accused."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app.finetune.image_file import ImageFile
from app.finetune.label_judgement import LabelJudgement
from benchmarks.judging.draws import Draw, draw_people
from benchmarks.judging.embedded import HR, EmbeddedFaces, face_files
from benchmarks.judging.labels import merge_pairs, mislabel
from worker.training.checks.label_sheet import write_label_sheets
from worker.training.checks.labels import judge_labels
from worker.training.metrics import FaceSet


def codes(judged: LabelJudgement) -> list[str]:
    return [warning.code for warning in judged.warnings()]


@pytest.fixture(scope="module")
def faces_of(shared_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], FaceSet]:
    embedded = EmbeddedFaces(shared_assets, tmp_path_factory.mktemp("embeddings"))
    return lambda name: embedded.of(name, HR)


@pytest.mark.parametrize("name", ["orl_aligned", "yale_aligned"])
def test_clean_aligned_faces_are_not_accused(faces_of: Callable[[str], FaceSet], name: str) -> None:
    judged = judge_labels(faces_of(name))
    assert codes(judged) == []
    assert judged.auc is not None
    assert judged.auc > 0.999


def test_few_clean_faces_are_not_accused(faces_of: Callable[[str], FaceSet]) -> None:
    for draw in (Draw(3, 2, 3), Draw(10, 2, 2), Draw(20, 2, 10)):
        for drawn in draw_people(faces_of("orl_aligned"), draw, 30):
            assert codes(judge_labels(drawn)) == []


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_wrong_names_are_named(faces_of: Callable[[str], FaceSet], share: float) -> None:
    faces = faces_of("orl_aligned")
    mixed, wrong = mislabel(faces, share)
    judged = judge_labels(mixed)
    named = {each.image for each in judged.mislabelled}
    assert named == wrong
    true_subject = dict(zip(faces.names, faces.subjects, strict=True))
    assert all(each.nearest == true_subject[each.image] for each in judged.mislabelled)
    assert all(true_subject[each.example_of_nearest] == each.nearest for each in judged.mislabelled)
    [warning] = judged.warnings("labels_001.png")
    assert f"{len(wrong)} of {len(faces)} HR images" in warning.message
    assert "look at labels_001.png" in warning.message


def test_two_people_under_one_name_are_named(faces_of: Callable[[str], FaceSet]) -> None:
    faces = faces_of("orl_aligned")
    true_subject = dict(zip(faces.names, faces.subjects, strict=True))
    judged = judge_labels(merge_pairs(faces))
    assert judged.subjects_of_two_people == 20
    for each in judged.two_people:
        assert [len({true_subject[name] for name in names}) for names in (each.first, each.second)] == [1, 1]
    assert codes(judged) == ["likely_two_people"]
    assert judged.auc is not None
    assert judged.auc < 0.8


def test_faces_that_are_not_aligned_lead_to_alignment_and_not_to_names(faces_of: Callable[[str], FaceSet]) -> None:
    [warning] = judge_labels(faces_of("orl")).warnings()
    assert warning.code == "hr_not_told_apart"
    assert "aligned" in warning.message
    assert "0.978" in warning.message


def test_a_judgement_is_kept_as_json(faces_of: Callable[[str], FaceSet]) -> None:
    judged = judge_labels(mislabel(merge_pairs(faces_of("yale_aligned")), 0.05)[0])
    assert LabelJudgement.model_validate(json.loads(judged.model_dump_json())) == judged


@pytest.mark.parametrize("subjects", [4, 10, 40])
def test_a_backbone_that_tells_nobody_apart_names_nobody(subjects: int) -> None:
    e_ND = np.random.default_rng(subjects).normal(size=(6 * subjects, 64)).astype(np.float32) + 0.5
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    names = [f"{place // 6}" for place in range(len(e_ND))]
    judged = judge_labels(FaceSet(e_ND, names, [f"{place}" for place in range(len(e_ND))]))
    assert codes(judged) == ["hr_not_told_apart"]


def test_without_two_subjects_of_two_images_nothing_is_judged() -> None:
    e_ND = np.eye(4, dtype=np.float32)
    for subjects in (["a", "a", "a", "a"], ["a", "b", "c", "d"]):
        judged = judge_labels(FaceSet(e_ND, subjects, ["1", "2", "3", "4"]))
        assert judged.auc is None
        assert codes(judged) == []


def test_large_datasets_are_judged() -> None:
    """20,000 images of 2,000 subjects, ten of which have wrong names and five of which are two people."""
    rng = np.random.default_rng(0)
    person_N = np.repeat(np.arange(2000), 10)
    centres_PD = rng.normal(size=(2000, 128))
    e_ND = (centres_PD[person_N] + 0.5 * rng.normal(size=(20_000, 128))).astype(np.float32)
    e_ND /= np.linalg.norm(e_ND, axis=1, keepdims=True)
    labels_N = person_N.copy()
    labels_N[:100:10] = 1500
    for merged in range(100, 110, 2):
        labels_N[person_N == merged + 1] = merged
    blocks: list[float] = []
    faces = FaceSet(e_ND, [f"{label}" for label in labels_N], [f"{place}" for place in range(20_000)])
    judged = judge_labels(faces, lambda: blocks.append(time.monotonic()))
    assert {each.image for each in judged.mislabelled} == {f"{place}" for place in range(0, 100, 10)}
    assert {each.subject for each in judged.two_people} == {f"{merged}" for merged in range(100, 110, 2)}
    assert len(blocks) > 5


def test_sheets_show_what_is_named(shared_assets: Path, faces_of: Callable[[str], FaceSet], tmp_path: Path) -> None:
    faces = faces_of("yale_aligned")
    mixed, _ = mislabel(merge_pairs(faces), 0.1)
    files = face_files(shared_assets / "faces" / "yale_aligned")
    images = [
        ImageFile(path, name.split("_")[0], name)
        for path in files
        if (name := f"{path.parent.name}_{path.stem}") in set(mixed.names)
    ]
    judged = judge_labels(mixed)
    named = judged.mislabelled_images + judged.subjects_of_two_people
    assert judged.mislabelled
    assert judged.two_people
    sheets = write_label_sheets(judged, images, tmp_path / "sheets")
    assert [path.name for path in sheets] == [f"labels_{page + 1:03d}.png" for page in range(-(-named // 12))]
    with Image.open(sheets[0]) as page:
        assert page.height > page.width > 600
    assert write_label_sheets(judge_labels(faces), images, tmp_path / "none") == []
    assert not (tmp_path / "none").exists()
