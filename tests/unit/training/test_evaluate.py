"""Embeddings for comparison, and the verdict's one sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from worker.training.evaluate import Measurement, embed, face_set, measure, verdict
from worker.training.metrics import FaceSet
from worker.training.models.edgeface import new_edgeface


def faces(noise: float, subjects: int = 12, images: int = 8) -> FaceSet:
    """Subjects as random directions, images of them with noise; the same subjects every time."""
    centre_SD = np.random.default_rng(0).normal(size=(subjects, 32))
    noise_ND = np.random.default_rng(1).normal(size=(subjects * images, 32))
    e_ND = (np.repeat(centre_SD, images, axis=0) + noise * noise_ND).astype(np.float32)
    names = [Path(f"{subject:02}_{image}.png") for subject in range(subjects) for image in range(images)]
    return face_set(torch.nn.functional.normalize(torch.from_numpy(e_ND)), names)


def measured(noise: float, subjects: int = 12, images: int = 8) -> Measurement:
    return measure(faces(noise, subjects, images), faces(0.3, subjects, images))


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (2.0, 1.0, "Recognition got better"),
        (1.0, 2.0, "Recognition got WORSE"),
        (1.0, 1.0, "No clear difference"),
        (1.5, 1.49, "No clear difference"),
    ],
)
def test_the_verdict_says_what_changed_in_numbers(before: float, after: float, said: str) -> None:
    was, became = measured(before), measured(after)
    sentence = verdict(was, became)
    assert sentence.startswith(said)
    tar = f"{was.recognition.tar_at_far_1_percent:.3f} -> {became.recognition.tar_at_far_1_percent:.3f}"
    rank1 = f"rank-1 {was.recognition.rank1:.3f} -> {became.recognition.rank1:.3f}"
    assert f"{tar}, {rank1}" in sentence
    assert "12 subjects" in sentence
    assert sentence.count(". ") == 0, "one sentence"


def test_the_verdict_does_not_claim_what_few_subjects_cannot_show() -> None:
    assert "Too few subjects" in verdict(measured(2.0, subjects=4, images=10), measured(0.1, subjects=4, images=10))
    assert "Too few pairs" in verdict(measured(2.0, subjects=2, images=2), measured(0.1, subjects=2, images=2))


def test_the_accepted_pairs_of_the_subjects_make_up_the_tar() -> None:
    measurement = measured(1.5)
    assert measurement.genuine_and_accepted is not None
    genuine, accepted = np.array(list(measurement.genuine_and_accepted.values())).sum(0)
    assert genuine == measurement.recognition.genuine_pairs
    assert accepted / genuine == pytest.approx(measurement.recognition.tar_at_far_1_percent)


def test_embeddings_are_unit_vectors_whatever_the_batches_and_training_goes_on() -> None:
    backbone = new_edgeface("edgeface_xxs", seed=0).train()
    faces_u8 = torch.randint(256, (5, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.training.evaluate._FACES_AT_ONCE", 2)
        in_batches = embed(backbone, faces_u8, torch.device("cpu"))
    e_ND = embed(backbone, faces_u8, torch.device("cpu"))
    torch.testing.assert_close(in_batches, e_ND, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(e_ND.norm(dim=1), torch.ones(5))
    assert backbone.training
