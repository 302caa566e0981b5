"""Prepare: read every image of a dataset once, and make or find its face.

`read_dataset` reads the files; `prepare` enlarges the images whose faces are not in the face cache.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.dataset import BICUBIC_ENLARGEMENT, DatasetScan, paired_hr
from app.finetune.events import Report, Warned
from app.finetune.same_photo import Print
from worker.training.data.image_reader import ImageReader, Preparation, ReadImages, refuse_unreadable
from worker.training.data.preprocess import Enlarge, Faces, enlarge_bicubic, size_warnings
from worker.training.data.val_faces import ValFaces
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import BICUBIC_WORK, DSR_WORK
from worker.training.runtime.progress import Progress
from worker.training.storage.digests import InputDigests, sha256_of
from worker.training.storage.paths import TrainingFiles

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112 pixels; _u8 is uint8.


@dataclass(frozen=True)
class ReadDataset:
    """The images of a dataset, each read once, and the digests of all inputs of the training.

    `train_hr` are the HR images of train's VLR images, where the training needs them. `people_hr` are the other HR
    images whose faces are needed. `prints` are those of all images, where they were asked for.
    """

    reader: ImageReader
    inputs: InputDigests
    train_vlr: ReadImages
    val_vlr: ReadImages
    val_hr: ReadImages
    train_hr: ReadImages | None
    people_hr: ReadImages
    prints: Mapping[Path, Print]


class FacesByPath:
    """Prepared faces, found by the path of their image."""

    def __init__(self, *faces_of: tuple[Sequence[Path], Faces]) -> None:
        self._faces = [faces for _, faces in faces_of]
        self._places = {path: (n, place) for n, (paths, _) in enumerate(faces_of) for place, path in enumerate(paths)}

    def __call__(self, paths: Sequence[Path]) -> Tensor:
        """uint8 [N, 3, 112, 112]."""
        found = (self._places[path] for path in paths)
        return torch.stack([self._faces[number].pixels_u8[place] for number, place in found])


def read_dataset(
    config: FinetuneConfig,
    files: TrainingFiles,
    scan: DatasetScan,
    by_dsr: Enlarge | None,
    control: Control,
    *,
    with_prints: bool,
    people_hr: Collection[Path] = (),
) -> ReadDataset:
    """Read every image that the training needs, and with `with_prints` all images of the dataset.

    `by_dsr` None enlarges by bicubic interpolation. `people_hr` are HR images of train whose faces are needed too.
    Images that cannot be decoded are returned as unreadable. Raises TrainHrMissing, UnreadableImages where a file
    cannot be opened, DiskFull and StopRequested.
    """
    paired = paired_hr(scan.train) if config.needs_train_hr else ()
    reader = ImageReader(files.prepared_dir, config.num_workers, control)
    read = partial(reader.read, with_prints=with_prints)
    read_hr = partial(read, with_looks=with_prints)
    edgeface = sha256_of(files.edgeface, control)
    enlargement = sha256_of(files.dsr, control) if files.dsr else BICUBIC
    vlr, hr = Preparation(by_dsr or enlarge_bicubic, enlargement, config.vlr_size), Preparation()
    train_vlr, val_vlr = read(scan.train.vlr_images, vlr), read(scan.val.vlr_images, vlr)
    val_hr = read_hr(scan.val.hr_images, hr)
    train_hr = read_hr(paired, hr) if config.needs_train_hr else None
    people = read_hr([path for path in people_hr if path not in set(paired)], hr)
    every = [train_vlr, val_vlr, val_hr, people, *([] if train_hr is None else [train_hr])]
    if with_prints:
        done = {*paired, *people.paths}
        every.append(read_hr([path for path in scan.train.hr_images if path not in done], None))
    inputs = InputDigests(
        edgeface=edgeface,
        dsr=enlargement,
        train_vlr=train_vlr.digest,
        val_vlr=val_vlr.digest,
        val_hr=val_hr.digest,
        train_hr=None if train_hr is None else train_hr.digest,
    )
    prints = {path: made for images in every for path, made in images.prints.items()}
    return ReadDataset(reader, inputs, train_vlr, val_vlr, val_hr, train_hr, people, prints)


def prepare(
    config: FinetuneConfig,
    scan: DatasetScan,
    dataset: ReadDataset,
    report: Report,
    progress: Progress,
) -> tuple[Faces, Faces | None, ValFaces, FacesByPath]:
    """Return train's faces, its HR faces in the same order where the training needs them, val's faces, and the HR faces
    of train by path.

    Raises UnreadableImages, naming all of them before any is enlarged, EnlargementNotFinite, ChangedWhileRead,
    OutOfMemory, DiskFull and StopRequested.
    """
    by_dsr = dataset.inputs.dsr != BICUBIC
    if not by_dsr:
        report(Warned(BICUBIC_ENLARGEMENT))
    vlr = [dataset.train_vlr, dataset.val_vlr]
    hr = [dataset.val_hr, dataset.people_hr, *([] if dataset.train_hr is None else [dataset.train_hr])]
    dataset.reader.looks.clear()
    refuse_unreadable([*vlr, *hr])

    def faces_of(images: ReadImages, work: float) -> Faces:
        return dataset.reader.faces(images, lambda count: progress.advance(count * work))

    train_faces, probe_faces = (faces_of(images, DSR_WORK if by_dsr else BICUBIC_WORK) for images in vlr)
    gallery_faces = faces_of(dataset.val_hr, BICUBIC_WORK)
    train_hr_faces = None if dataset.train_hr is None else faces_of(dataset.train_hr, BICUBIC_WORK)
    people = [(dataset.people_hr.paths, faces_of(dataset.people_hr, 0.0))] if dataset.people_hr.paths else []
    if dataset.train_hr is not None and train_hr_faces is not None:
        people.append((dataset.train_hr.paths, train_hr_faces))
    for name, faces in (("train", train_faces), ("val", probe_faces)):
        for warning in size_warnings(name, faces.sizes, config.vlr_size):
            report(Warned(warning))
    probe_paths, gallery_paths = dataset.val_vlr.paths, dataset.val_hr.paths
    val = ValFaces(probe_faces.pixels_u8, probe_paths, gallery_faces.pixels_u8, gallery_paths, scan.subject_to_id)
    return train_faces, train_hr_faces, val, FacesByPath(*people)
