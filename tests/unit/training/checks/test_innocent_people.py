"""People who each have one name are not accused, however small their faces are and however few images they have."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.judging.draws import Draw, draw_people, found_in
from benchmarks.judging.embedded import SIZES, EmbeddedFaces, face_files
from worker.training.checks.same_identity import certain_outstanding
from worker.training.metrics import FaceSet


def some_people(assets: Path, folder: Path, people: int, images: int) -> Path:
    """Link the first images of the first people of LFW, and the weights, into `folder`, which is returned."""
    faces = assets / "faces" / "lfw_aligned"
    for person in sorted(path for path in faces.iterdir() if path.is_dir())[:people]:
        (folder / "faces" / "some" / person.name).mkdir(parents=True)
        for path in sorted(person.iterdir())[:images]:
            (folder / "faces" / "some" / person.name / path.name).symlink_to(path)
    (folder / "weights").symlink_to(assets / "weights")
    return folder


def count_stopped(faces: FaceSet, draw: Draw, count: int) -> int:
    return sum(any(pair.certain for pair in found_in(drawn)) for drawn in draw_people(faces, draw, count))


def test_innocent_people_are_not_stopped(shared_assets: Path, tmp_path: Path) -> None:
    embedded = EmbeddedFaces(some_people(shared_assets, tmp_path, people=60, images=6), tmp_path / "embeddings")
    for size in ("8", "12"):
        for draw in (Draw(20, 2, 2), Draw(20, 2, 6), Draw(4, 2, 4)):
            assert count_stopped(embedded.of("some", size), draw, 150) == 0, (size, draw)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("size", SIZES)
def test_no_innocent_of_three_thousand_draws_is_stopped(shared_assets: Path, tmp_path: Path, size: str) -> None:
    torch.set_num_threads(1)
    faces = EmbeddedFaces(shared_assets, tmp_path).of("lfw_aligned", size)
    assert len(faces) == len(face_files(shared_assets / "faces" / "lfw_aligned"))
    assert count_stopped(faces, Draw(20, 2, 2), 1500) == 0
    assert count_stopped(faces, Draw(20, 2, 10), 1500) == 0


def test_a_pair_is_certain_only_far_above_chance() -> None:
    """Few subjects show less of how similar different people are, unless the faces are clear; many have more pairs."""
    limits = [certain_outstanding(subjects, 2.0) for subjects in (3, 5, 8, 100)]
    assert limits == sorted(limits, reverse=True)
    assert certain_outstanding(3, 5.0) == certain_outstanding(100, 2.0)
    assert certain_outstanding(20_000, 2.0) > certain_outstanding(100, 2.0)


def test_one_person_with_two_names_is_still_stopped(shared_assets: Path, tmp_path: Path) -> None:
    faces = EmbeddedFaces(some_people(shared_assets, tmp_path, people=30, images=6), tmp_path / "embeddings").of(
        "some", "HR"
    )
    found = [found_in(drawn) for drawn in draw_people(faces, Draw(15, 3, 3, two_names=1), 40)]
    certain = [pair for pairs in found for pair in pairs if pair.certain]
    assert all(pair.second == f"{pair.first}-again" for pair in certain)
    assert len(certain) >= 0.85 * len(found)
    assert np.isclose(max(pair.alike for pair in certain), 1.0, atol=0.3)
