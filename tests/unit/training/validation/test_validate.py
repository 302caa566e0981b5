"""Validation of one epoch: loss and accuracy over the probes of known subjects, in blocks as in one piece."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from app.finetune.image_file import ImageFile
from worker.training.data.val_faces import ValFaces
from worker.training.objectives.classifier import CosineClassifier
from worker.training.validation import validate as validate_module
from worker.training.validation.validate import ValEmbeddings, validate

KNOWN = {"a": 0, "b": 1, "c": 2}


def embeddings(subjects: str) -> ValEmbeddings:
    names = [f"{who}_{place}" for place, who in enumerate(subjects)]
    images = tuple(ImageFile(Path(f"{name}.png"), name[0], name) for name in names)
    faces_u8 = torch.zeros(len(images), 3, 1, 1, dtype=torch.uint8)
    val = ValFaces(faces_u8, images, faces_u8, images, KNOWN)
    e_ND = F.normalize(torch.randn(len(images), 8, generator=torch.Generator().manual_seed(0)))
    return ValEmbeddings(val, e_ND, e_ND.flip(1))


@pytest.mark.parametrize("logits_at_once", [2**24, 7, 1])
def test_the_loss_is_that_of_the_known_probes_in_blocks_of_any_size(
    monkeypatch: pytest.MonkeyPatch, logits_at_once: int
) -> None:
    monkeypatch.setattr(validate_module, "_LOGITS_AT_ONCE", logits_at_once)
    subjects = "abczabczzca"
    val, classifier = embeddings(subjects), CosineClassifier(8, len(KNOWN), 16.0, torch.Generator().manual_seed(1))
    places = [place for place, who in enumerate(subjects) if who in KNOWN]
    logits = classifier.logits(val.probes_PD[places])
    labels = torch.tensor([KNOWN[subjects[place]] for place in places])
    found = validate(val, classifier)
    assert found.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item(), rel=1e-6)


def test_without_a_known_probe_there_is_no_loss() -> None:
    found = validate(embeddings("zzyy"), CosineClassifier(8, len(KNOWN), 16.0))
    assert (found.loss, found.accuracy) == (None, None)
    assert found.auc is not None


@pytest.mark.parametrize("people", [10, 40])
def test_tar_at_far_1_percent_is_that_of_the_measurement_and_null_with_few_pairs(people: int) -> None:
    val = embeddings("".join(chr(ord("A") + number) for number in range(people)) * 2)
    found = validate(val, CosineClassifier(8, len(KNOWN), 16.0))
    measured = val.measure().recognition
    assert found.tar_at_far_1_percent == measured.tar_at_far_1_percent
    assert (found.tar_at_far_1_percent is None) == (measured.impostor_pairs < 1000)
