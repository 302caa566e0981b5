"""Prepare: read every image of a dataset once, and make or find its face.

`read_dataset` reads the files; `prepare` enlarges the images whose faces are not in the face cache.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.dataset import DatasetScan, paired_hr
from app.finetune.events import Report, Warned
from app.finetune.image_file import paths_of
from app.finetune.images import READER_VERSION
from app.finetune.part_reading import refuse_changed
from app.finetune.same_photo import Print
from app.finetune.size_warnings import hr_size_warnings, size_warnings
from worker.training.data.fp16_enlargement import Fp16Enlargement
from worker.training.data.image_reader import (
    ImageReader,
    Preparation,
    ReadImages,
    problem_warnings,
    refuse_unreadable,
)
from worker.training.data.preprocess import Enlarge, Faces, enlarge_bicubic
from worker.training.data.val_faces import ValFaces
from worker.training.runtime.control import Control
from worker.training.runtime.cost_model import BICUBIC_WORK, DSR_WORK
from worker.training.runtime.phase_plan import READ_WORK
from worker.training.runtime.progress import Progress
from worker.training.storage.digests import InputDigests, sha256_of_weights
from worker.training.storage.paths import TrainingFiles

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112 pixels; _u8 is uint8.


@dataclass(frozen=True)
class ReadDataset:
    """The images of a dataset, each read once, and the digests of all inputs of the training.

    `train_hr` are the HR images of train's VLR images, where the training needs them. `people_hr` are the other HR
    images whose faces are needed, `other_hr` those that were read for their prints alone.
    """

    reader: ImageReader
    inputs: InputDigests
    train_vlr: ReadImages
    val_vlr: ReadImages
    val_hr: ReadImages
    train_hr: ReadImages | None
    people_hr: ReadImages
    other_hr: ReadImages | None

    @property
    def splits(self) -> dict[str, list[ReadImages]]:
        """All that was read, by split."""
        train = [self.train_vlr, self.train_hr, self.people_hr, self.other_hr]
        return {"train": [images for images in train if images is not None], "val": [self.val_vlr, self.val_hr]}

    def refuse_changed(self, files: TrainingFiles, scan: DatasetScan) -> None:
        """Raises DatasetChanged where a file is not the one that the service checked."""
        for name, split, reading in (
            ("train", scan.train, files.train_reading),
            ("val", scan.val, files.val_reading),
        ):
            read = [pair for images in self.splits[name] for pair in zip(images.paths, images.sha256s, strict=True)]
            refuse_changed(reading, split, dict(read))

    @property
    def prints(self) -> Mapping[Path, Print]:
        """Those of all images, where they were asked for."""
        return {
            path: made for split in self.splits.values() for images in split for path, made in images.prints.items()
        }


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
    progress: Progress,
    *,
    with_prints: bool,
    in_fp16: Fp16Enlargement | None = None,
    people_hr: Collection[Path] = (),
    reader: int = READER_VERSION,
) -> ReadDataset:
    """Read every image that the training needs, and with `with_prints` all images of the dataset. Val's images have
    prints in any case: they tell which images show one photo, also where the training is resumed.

    `by_dsr` None enlarges by bicubic interpolation. `in_fp16` enlarges train's VLR images instead, but not val's, whose
    figures are those of float32. `people_hr` are HR images of train whose faces are needed too.
    `reader` is the version of the image reader that the training began with. Images that cannot be decoded are returned
    as unreadable. Raises TrainHrMissing, UnreadableImages where a file cannot be opened, DiskFull and StopRequested.
    """
    paired = paths_of(paired_hr(scan.train)) if config.needs_train_hr else ()

    def on_read(count: int) -> None:
        progress.advance(count * READ_WORK)

    image_reader = ImageReader(files.prepared_dir, config.num_workers, control, reader, on_read)
    read = partial(image_reader.read, with_prints=with_prints)
    read_hr = partial(read, with_looks=with_prints)
    edgeface = sha256_of_weights(files.edgeface, files.copies, control)
    enlargement = sha256_of_weights(files.dsr, files.copies, control) if files.dsr else BICUBIC
    vlr, hr = Preparation(by_dsr or enlarge_bicubic, enlargement, config.vlr_size), Preparation()
    for_training = replace(vlr, enlarge=in_fp16, precision="fp16") if in_fp16 else vlr
    train_vlr = read(paths_of(scan.train.vlr_images), for_training)
    val_vlr = image_reader.read(paths_of(scan.val.vlr_images), vlr, with_prints=True)
    val_hr = image_reader.read(paths_of(scan.val.hr_images), hr, with_prints=True, with_looks=with_prints)
    train_hr = read_hr(paired, hr) if config.needs_train_hr else None
    done = set(paired)
    people = read_hr([path for path in people_hr if path not in done], hr)
    done.update(people.paths)
    others = [path for path in paths_of(scan.train.hr_images) if path not in done]
    other_hr = read_hr(others, None) if with_prints else None
    inputs = InputDigests(
        edgeface=edgeface,
        dsr=enlargement,
        train_vlr=train_vlr.digest,
        val_vlr=val_vlr.digest,
        val_hr=val_hr.digest,
        train_hr=None if train_hr is None else train_hr.digest,
        reader=reader,
    )
    return ReadDataset(image_reader, inputs, train_vlr, val_vlr, val_hr, train_hr, people, other_hr)


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
    vlr = [dataset.train_vlr, dataset.val_vlr]
    hr = [dataset.val_hr, dataset.people_hr, *([] if dataset.train_hr is None else [dataset.train_hr])]
    dataset.reader.looks.clear()
    refuse_unreadable([*vlr, *hr])
    for name, split in dataset.splits.items():
        for warning in problem_warnings(name, split):
            report(Warned(warning))

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
    for name, hr_faces in (("train", train_hr_faces), ("val", gallery_faces)):
        for warning in hr_size_warnings(name, hr_faces.sizes) if hr_faces is not None else ():
            report(Warned(warning))
    probes, gallery = scan.val.vlr_images, scan.val.hr_images
    val = ValFaces(probe_faces.pixels_u8, probes, gallery_faces.pixels_u8, gallery, scan.subject_to_id)
    return train_faces, train_hr_faces, val, FacesByPath(*people)
