"""Prepare: every face of a dataset is decoded and enlarged once, before training, unless it is kept from before."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from app.finetune.config import FinetuneConfig
from app.finetune.dataset import BICUBIC_ENLARGEMENT, DatasetScan, paired_hr
from app.finetune.errors import ChangedWhileRead
from app.finetune.events import Report, Warned
from worker.training.data.face_cache import PreparedFaces, prepared_key
from worker.training.data.preprocess import Enlarge, Faces, enlarge_bicubic, enlarge_images, size_warnings
from worker.training.data.val_faces import ValFaces
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import BICUBIC_WORK, DSR_WORK
from worker.training.runtime.progress import Progress
from worker.training.storage.digests import InputDigests, digest_images, refuse_unreadable


@dataclass(frozen=True)
class _Images:
    """Images that are prepared alike. `digest` is of their files, `work` what one costs, in forward passes."""

    paths: tuple[Path, ...]
    digest: str
    key: str
    enlarge: Enlarge
    vlr_size: int | None
    work: float


def prepare(
    config: FinetuneConfig,
    scan: DatasetScan,
    inputs: InputDigests,
    by_dsr: Enlarge | None,
    prepared_dir: Path,
    report: Report,
    progress: Progress,
    control: Control,
) -> tuple[Faces, Faces | None, ValFaces]:
    """Train's faces, its HR faces in the same order where `inputs` have them, and val's. `by_dsr` None enlarges by
    bicubic interpolation.

    What is in `prepared_dir` is not decoded again. Raises UnreadableImages, naming all of them before any is enlarged,
    EnlargementNotFinite, ChangedWhileRead, OutOfMemory, DiskFull and StopRequested.
    """
    if by_dsr is None:
        report(Warned(BICUBIC_ENLARGEMENT))
    enlarge, work = (by_dsr, DSR_WORK) if by_dsr else (enlarge_bicubic, BICUBIC_WORK)

    def vlr(paths: tuple[Path, ...], digest: str) -> _Images:
        key = prepared_key(digest, enlargement=inputs.dsr, vlr_size=config.vlr_size)
        return _Images(paths, digest, key, enlarge, config.vlr_size, work)

    train = vlr(scan.train.vlr_images, inputs.train_vlr)
    probes = vlr(scan.val.vlr_images, inputs.val_vlr)

    def hr(paths: tuple[Path, ...], digest: str) -> _Images:
        return _Images(paths, digest, prepared_key(digest), enlarge_bicubic, None, BICUBIC_WORK)

    gallery = hr(scan.val.hr_images, inputs.val_hr)
    train_hr = None if inputs.train_hr is None else hr(paired_hr(scan.train), inputs.train_hr)

    store = PreparedFaces(prepared_dir, control)
    every_kind = [train, probes, gallery, *([] if train_hr is None else [train_hr])]
    kept = {images.key: store.find(images.key, len(images.paths)) for images in every_kind}
    missing = [path for images in every_kind if kept[images.key] is None for path in images.paths]
    refuse_unreadable(missing, config.num_workers, control)

    def faces_of(images: _Images) -> Faces:
        if (faces := kept[images.key]) is None:
            return store.make(images.key, len(images.paths), lambda: enlarged(images))
        progress.advance(len(images.paths) * images.work)
        return faces

    def enlarged(images: _Images) -> Iterator[Faces]:
        for faces in enlarge_images(images.paths, images.enlarge, threads=config.num_workers, vlr_size=images.vlr_size):
            yield faces
            progress.advance(len(faces.pixels_u8) * images.work)
        # They were read twice, and are kept under what the first reading saw.
        if digest_images(images.paths, config.num_workers, control) != images.digest:
            raise ChangedWhileRead(images.paths[0].parent)

    train_faces, probe_faces, gallery_faces = map(faces_of, (train, probes, gallery))
    train_hr_faces = None if train_hr is None else faces_of(train_hr)
    for name, faces in (("train", train_faces), ("val", probe_faces)):
        for warning in size_warnings(name, faces.sizes, config.vlr_size):
            report(Warned(warning))
    val = ValFaces(probe_faces.pixels_u8, probes.paths, gallery_faces.pixels_u8, gallery.paths, scan.subject_to_id)
    return train_faces, train_hr_faces, val
