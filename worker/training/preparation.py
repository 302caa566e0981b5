"""Prepare: every face of a dataset is decoded and enlarged once, before training."""

from collections.abc import Callable
from pathlib import Path

import torch

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import BICUBIC_ENLARGEMENT, DatasetScan, refuse_unreadable
from worker.training.events import Report, Warned
from worker.training.models.dsr import DSR
from worker.training.pixels import Enlarge, Faces, enlarge_bicubic, enlarge_by_dsr, prepare_faces, size_warnings
from worker.training.progress import BICUBIC_WORK, DSR_WORK, Progress
from worker.training.validation import ValFaces


def prepare(
    config: FinetuneConfig,
    scan: DatasetScan,
    dsr: tuple[DSR, Path] | None,
    device: torch.device,
    report: Report,
    progress: Progress,
) -> tuple[Faces, ValFaces]:
    """Train's faces and val's. `dsr` is the network and the file it came from; None enlarges by bicubic interpolation.

    Raises UnreadableImages, naming all of them before any is enlarged, and EnlargementNotFinite.
    """
    train_paths, probe_paths, gallery_paths = scan.train.vlr_images, scan.val.vlr_images, scan.val.hr_images
    refuse_unreadable([*train_paths, *probe_paths, *gallery_paths], config.num_workers)
    enlarge: Enlarge = enlarge_by_dsr(*dsr, device) if dsr else enlarge_bicubic
    enlarge_work = DSR_WORK if dsr else BICUBIC_WORK
    if dsr is None:
        report(Warned(BICUBIC_ENLARGEMENT))

    def advance(work: float) -> Callable[[int], None]:
        return lambda images: progress.advance(images * work)

    vlr_size, threads = config.vlr_size, config.num_workers
    train, probes = (
        prepare_faces(paths, enlarge, threads=threads, vlr_size=vlr_size, on_images=advance(enlarge_work))
        for paths in (train_paths, probe_paths)
    )
    gallery = prepare_faces(gallery_paths, enlarge_bicubic, threads=threads, on_images=advance(BICUBIC_WORK))
    for name, faces in (("train", train), ("val", probes)):
        for warning in size_warnings(name, faces.sizes, vlr_size):
            report(Warned(warning))
    return train, ValFaces(probes.pixels_u8, probe_paths, gallery.pixels_u8, gallery_paths, scan.subject_to_id)
