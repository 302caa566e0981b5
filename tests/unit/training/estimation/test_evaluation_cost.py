"""What the evaluation after a training takes is foretold by a little of it."""

import time
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.finetune.dataset import Split, scan_split
from app.finetune.events import EpochFinished, Progressed, TrainingEvent
from tests.unit.training.support import tiny_config, write_drawn_split, write_training
from worker.training.data.preprocess import Enlarge, enlarge_bilinear
from worker.training.data.val_faces import ValFaces
from worker.training.estimation.evaluation_cost import time_evaluation, unknown_embeddings
from worker.training.evaluation.comparison import Row, compare
from worker.training.finetune import finetune
from worker.training.models.embedding import face_set
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import EvaluationCosts
from worker.training.validation.validate import ValEmbeddings

SECONDS_OF_A_FACE = 0.01


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    folder = tmp_path_factory.mktemp("val")
    write_drawn_split(folder, range(8), range(10))
    return scan_split(folder)


def embeddings_of(split: Split) -> ValEmbeddings:
    none = torch.empty(0)
    val = ValFaces(none, split.vlr_images, none, split.hr_images, {})
    return unknown_embeddings(val, torch.device("cpu"))


def costs_of(split: Split, by_dsr: Enlarge | None = None) -> EvaluationCosts:
    return time_evaluation(tiny_config(), split, embeddings_of(split), by_dsr)


def slow(images_u8_NCHW: Tensor) -> Tensor:
    time.sleep(SECONDS_OF_A_FACE * len(images_u8_NCHW))
    return enlarge_bilinear(images_u8_NCHW)


def test_comparing_is_foretold_by_a_row_and_the_number_of_rows(split: Split) -> None:
    embeddings = embeddings_of(split)
    probes = face_set(embeddings.probes_PD, embeddings.val.probe_images)
    gallery = face_set(embeddings.gallery_GD, embeddings.val.gallery_images)
    compare(Row("before", "bicubic", "hr"), probes, gallery, 0.5)
    started = time.monotonic()
    compare(Row("before", "bicubic", "hr"), probes, gallery, 0.5)
    taken = time.monotonic() - started
    # Faces of 16 px are decoded and enlarged in next to no time.
    assert 10 * taken / 10 < costs_of(split).seconds < 10 * taken * 10


def test_only_what_did_not_train_is_embedded_anew(split: Split) -> None:
    with_dsr, without = costs_of(split, slow), costs_of(split)
    # Two backbones; VLR faces, half of all, by direct feed, and beside the DSR by bicubic too.
    assert (without.embeds, with_dsr.embeds) == (2 * 1 / 2, 2 * 2 / 2)


def test_files_that_are_gone_stop_nothing(tmp_path: Path) -> None:
    write_drawn_split(tmp_path, range(3), range(2))
    split = scan_split(tmp_path)
    for image in split.images:
        image.path.unlink()
    assert costs_of(split, slow).seconds > 0


def test_a_training_is_not_told_to_be_done_while_its_evaluation_goes_on(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    events: list[TrainingEvent] = []
    finetune(tiny_config(stage1_epochs=0, stage2_epochs=6, early_stop_patience=1), files, events.append, Control())
    last_epoch = max(index for index, event in enumerate(events) if isinstance(event, EpochFinished))
    after = [event for event in events[last_epoch:] if isinstance(event, Progressed)]
    assert all(event.progress < 1 and (event.eta_seconds is None or event.eta_seconds > 0) for event in after[:-1])
    assert (after[-1].progress, after[-1].eta_seconds) == (1.0, 0.0)
