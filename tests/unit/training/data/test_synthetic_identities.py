"""Invented people: the same for everybody, each a person of its own, and nobody of the train set."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.finetune.config import FACES_OF_EACH
from worker.training.data.preprocess import decode
from worker.training.data.synthetic_identities import draw_identities, synthetic_key
from worker.training.data.warps import bend, blend, light, pose
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed

CPU = torch.device("cpu")
LABELS = torch.tensor([2, 0, 0, 1, 2, 2, 0])


def noise(count: int) -> Tensor:
    return torch.randint(256, (count, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def made(hr_u8: Tensor, labels: Tensor, people: int, seed: int = 0) -> Tensor:
    return torch.cat([faces.pixels_u8 for faces in draw_identities(labels, people, seed).faces(hr_u8)])


def test_the_same_seed_invents_the_same_people() -> None:
    first = made(noise(7), LABELS, 9)
    assert first.shape == (9 * FACES_OF_EACH, 3, 112, 112)
    assert torch.equal(first, made(noise(7), LABELS, 9))
    assert not torch.equal(first, made(noise(7), LABELS, 9, seed=1))


def test_a_person_is_two_subjects_in_photos_of_theirs() -> None:
    people = draw_identities(LABELS, 50, 0)
    subjects = LABELS[people.photos_Q2].view(50, FACES_OF_EACH, 2)
    assert (subjects == subjects[:, :1]).all(), "of all faces of a person"
    assert set(subjects.flatten().tolist()) == {0, 1, 2}
    of_two = people.photos_Q2.view(50, FACES_OF_EACH, 2)[LABELS[people.photos_Q2].view(50, FACES_OF_EACH, 2) == 2]
    assert set(of_two.tolist()) == {0, 4, 5}, "every photo of a subject has its turn"


def test_class_ids_may_have_gaps() -> None:
    """A rehearsal shows a part of the train set."""
    photos = draw_identities(torch.tensor([5, 5, 9]), 20, 0).photos_Q2
    assert set(photos.flatten().tolist()) == {0, 1, 2}


def test_other_images_other_numbers_other_seeds_have_files_of_their_own() -> None:
    assert len({synthetic_key(*of) for of in (("a", 4, 1), ("b", 4, 1), ("a", 5, 1), ("a", 4, 2))}) == 4


def test_nothing_drawn_in_the_middle_changes_nothing() -> None:
    x = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    flat = torch.zeros(3, 2, 5, 5)
    middle = torch.full((3, 6), 0.5)
    assert torch.allclose(bend(x, flat), x, atol=1e-4)
    assert torch.allclose(pose(x, middle, flat), x, atol=1e-4)
    mirrored = middle.clone()
    mirrored[:, 5] = 0.4
    assert torch.allclose(pose(x, mirrored, flat), x.flip(3), atol=1e-4)
    other = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    one = torch.ones(3, 1, 4, 4)
    assert torch.allclose(blend(x, other, one, torch.zeros(3)), x, atol=1e-4)
    assert torch.allclose(blend(x, other, 0 * one, torch.zeros(3)), other, atol=1e-4)


@pytest.mark.parametrize("drawn", [0.0, 0.999])
def test_light_stays_a_picture(drawn: float) -> None:
    x = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    lit = light(x, torch.full((2, 5), drawn))
    assert lit.isfinite().all()
    assert float(lit.min()) >= 0
    assert float(lit.max()) <= 1
    assert not torch.allclose(lit, x, atol=0.05)


def test_the_backbone_tells_invented_people_apart(shared_assets: Path) -> None:
    """Faces of one are alike to it, those of two are not: else they would teach nothing about telling people apart."""
    folders = [shared_assets / "faces" / "orl_aligned" / f"s{subject:02}" for subject in range(1, 7)]
    paths = [path for folder in folders for path in sorted(folder.glob("*.png"))]
    hr_u8 = torch.stack([torch.from_numpy(decode(path).copy()).permute(2, 0, 1) for path in paths])
    labels = torch.arange(6).repeat_interleave(10)
    backbone = load_edgeface(shared_assets / "weights" / "edgeface_xxs.pt")[0]
    e = embed(backbone, made(hr_u8, labels, 8), CPU)
    own = torch.eye(8, dtype=torch.bool).repeat_interleave(FACES_OF_EACH, 0).repeat_interleave(FACES_OF_EACH, 1)
    cosine, itself = e @ e.T, torch.eye(len(e), dtype=torch.bool)
    of_one, of_two = cosine[own & ~itself], cosine[~own]
    print(f"cosine of one {of_one.mean():.3f}, of two {of_two.mean():.3f}")
    assert of_one.mean() > 0.5
    assert of_one.mean() > of_two.mean() + 0.25
