"""Small trainings on drawn faces, for tests of what a training does rather than of how well."""

import functools
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from PIL import Image

from app.drawn_faces import draw_face
from app.finetune.config import FinetuneConfig
from app.finetune.events import Finished, TrainingEvent
from worker.training.finetune import finetune
from worker.training.models.edgeface import new_edgeface
from worker.training.runtime.control import Control
from worker.training.storage.paths import TrainingFiles


def write_drawn_split(folder: Path, subjects: Iterable[int], images: Iterable[int], vlr_size: int = 16) -> None:
    """`folder/{vlr_images,hr_images}` with names such as `003_01.png`."""
    for kind in ("vlr_images", "hr_images"):
        (folder / kind).mkdir(parents=True)
    images = list(images)
    for subject in subjects:
        for image in images:
            name = f"{subject:03}_{image:02}.png"
            hr, vlr = _drawn_pair(subject, image, vlr_size)
            (folder / "hr_images" / name).write_bytes(hr)
            (folder / "vlr_images" / name).write_bytes(vlr)


@functools.cache
def _drawn_pair(subject: int, image: int, vlr_size: int) -> tuple[bytes, bytes]:
    """The PNG files of the HR image and of the VLR image."""
    face = draw_face(subject, image)
    return _png(face), _png(face.resize((vlr_size, vlr_size), Image.Resampling.BICUBIC))


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def write_untrained(path: Path, variant: str = "edgeface_xxs") -> Path:
    """An untrained backbone; the same for everybody."""
    path.write_bytes(_untrained_file(variant))
    return path


@functools.cache
def _untrained_file(variant: str) -> bytes:
    file = io.BytesIO()
    torch.save(new_edgeface(variant, seed=0).state_dict(), file)
    return file.getvalue()


def write_training(folder: Path, *, val_subjects: Iterable[int] = range(4)) -> TrainingFiles:
    """Four subjects with four images each to train on, two more of each of `val_subjects` to validate on."""
    write_drawn_split(folder / "train", range(4), range(4))
    write_drawn_split(folder / "val", val_subjects, range(4, 6))
    weights = write_untrained(folder / "untrained.pt")
    return TrainingFiles(
        folder / "train", folder / "val", weights, None, folder / "output", prepared_dir=folder / "prepared"
    )


def tiny_config(**changes: object) -> FinetuneConfig:
    values = {
        "train_dir": "train",
        "val_dir": "val",
        "device": "cpu",
        "mixed_precision": "off",
        "batch_size": 6,
        "num_workers": 0,
    }
    return FinetuneConfig.model_validate({**values, "stage1_epochs": 1, "stage2_epochs": 2, **changes})


def run(files: TrainingFiles, **changes: object) -> tuple[Finished, list[TrainingEvent]]:
    """A whole training and every event of it."""
    return _run(files, Control(), changes)


def run_unpredicted(files: TrainingFiles, **changes: object) -> tuple[Finished, list[TrainingEvent]]:
    """One that does not foretell, which makes steps besides: for tests that count steps."""
    return _run(files, Control(predict_duration=False), changes)


def _run(files: TrainingFiles, control: Control, changes: Mapping[str, object]) -> tuple[Finished, list[TrainingEvent]]:
    events: list[TrainingEvent] = []
    finished = finetune(tiny_config(**changes), files, events.append, control)
    assert isinstance(finished, Finished)
    return finished, events
