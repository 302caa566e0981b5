"""The cost of the evaluation after a training, measured on a part of it."""

import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import Split, comparable
from app.finetune.edgeface_shapes import EMBEDDING_SIZE
from app.finetune.errors import EdgefaceError
from app.finetune.image_file import paths_of
from app.finetune.images import find_unreadable
from worker.training.data.preprocess import Enlarge, enlarge_bicubic, enlarge_bilinear, enlarge_images
from worker.training.data.val_faces import ValFaces
from worker.training.evaluation.estimates import FEWEST_SUBJECTS
from worker.training.evaluation.identification import FPIRS, identification_of
from worker.training.evaluation.verification import FARS, verification_of
from worker.training.metrics import FaceSet, score_pairs
from worker.training.metrics.bootstrap import DRAWS, DRAWS_AT_ONCE, draw_dir, draw_subjects, draw_verification
from worker.training.metrics.identification import Mates, Searches, search
from worker.training.metrics.open_set import open_set
from worker.training.runtime.cost_model import EvaluationCosts
from worker.training.validation.validate import ValEmbeddings

_BACKBONES = 2  # before and after
_IMAGES_TIMED = 16
_WARM = 2
_ANY_THRESHOLD = 0.5


def time_evaluation(
    config: FinetuneConfig, split: Split, embeddings: ValEmbeddings, by_dsr: Enlarge | None
) -> EvaluationCosts:
    """The cost for val with the files of `split`; `embeddings` has as many faces, of any content."""
    if not comparable(split):
        return EvaluationCosts(0.0, 0.0)  # refused at once
    vlr, hr = len(split.vlr_images), len(split.hr_images)
    # Besides the enlargement that trains, whose faces are embedded already, as the HR ones are.
    others: list[Enlarge] = [enlarge_bilinear, *([enlarge_bicubic] if by_dsr else [])]
    # HR against HR; the VLR images by each enlargement against HR, and against themselves.
    rows = _BACKBONES * (1 + 2 * (1 + len(others)))
    return EvaluationCosts(
        seconds=rows * _seconds_of_row(embeddings.probes, embeddings.gallery)
        + _seconds_of_faces(paths_of(split.vlr_images), others, config.num_workers, config.vlr_size)
        + _seconds_of_faces(paths_of(split.hr_images), [], config.num_workers, None),
        embeds=_BACKBONES * len(others) * vlr / (vlr + hr),
    )


def unknown_embeddings(val: ValFaces, device: torch.device) -> ValEmbeddings:
    """Random embeddings for the faces of val: the time of the metrics depends on their number alone."""
    generator = torch.Generator().manual_seed(0)
    probes_PD, gallery_GD = (
        F.normalize(torch.randn(len(images), EMBEDDING_SIZE, generator=generator)).to(device)
        for images in (val.probe_images, val.gallery_images)
    )
    return ValEmbeddings(val, probes_PD, gallery_GD)


def _seconds_of_row(probes: FaceSet, gallery: FaceSet) -> float:
    """The time of one row of the table; most draws of the bootstrap take alike, and a few are timed."""
    started = time.monotonic()
    scores = score_pairs(probes, gallery)
    searches: dict[Mates, Searches] = {"one": search(probes, gallery, "one"), "all": search(probes, gallery, "all")}
    ranked = open_set(probes, gallery, FPIRS)
    verification_of(scores, searches["all"], None, _ANY_THRESHOLD)
    identification_of(searches, ranked, draw_subjects(len(scores.subjects), 1))
    once = time.monotonic() - started
    if len(scores.subjects) < FEWEST_SUBJECTS:
        return once

    def seconds_of_draws(draws: int) -> float:
        drawn_BS = draw_subjects(len(scores.subjects), draws)
        started = time.monotonic()
        draw_verification(scores, drawn_BS, FARS)
        for fpir in FPIRS:
            draw_dir(ranked[fpir], fpir, drawn_BS)
        return time.monotonic() - started

    timed = min(DRAWS, DRAWS_AT_ONCE * torch.get_num_threads())  # some for each core
    first, some = seconds_of_draws(1), seconds_of_draws(timed)
    return once + first + (DRAWS - 1) * max(0.0, some - first) / (timed - 1)


def _seconds_of_faces(
    paths: Sequence[Path], enlargements: Sequence[Enlarge], threads: int, vlr_size: int | None
) -> float:
    """The time to check all files and enlarge them in each way, by some of them."""
    chosen = paths[:: max(1, len(paths) // _IMAGES_TIMED)][:_IMAGES_TIMED]
    started = time.monotonic()
    if find_unreadable(chosen, threads):
        return 0.0
    seconds = time.monotonic() - started
    try:
        for enlarge in enlargements:
            list(enlarge_images(chosen[:_WARM], enlarge, threads=threads, vlr_size=vlr_size))
            started = time.monotonic()
            list(enlarge_images(chosen, enlarge, threads=threads, vlr_size=vlr_size))
            seconds += time.monotonic() - started
    except (EdgefaceError, OSError):
        # Files may go while a training runs on prepared faces, and memory be short beside it: neither may end it here.
        return 0.0
    return seconds * len(paths) / len(chosen)
