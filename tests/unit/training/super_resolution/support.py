"""A tiny DSR training on a few real faces."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.events import Checkpoint, Finished, StateSaved, Stopped, TrainingEvent
from worker.training.runtime.control import Control
from worker.training.storage.paths import ResumeFrom, TrainingFiles
from worker.training.super_resolution.train_dsr import train_dsr

SUBJECTS = {"train": ("s01", "s02", "s03"), "val": ("s11", "s12", "s13")}
IMAGES = 3


def write_faces(shared_assets: Path, folder: Path) -> Path:
    """`folder/{train,val}_processed/hr_images` of real people, three each; no VLR image: none is needed."""
    for half, subjects in SUBJECTS.items():
        images = folder / f"{half}_processed" / "hr_images"
        images.mkdir(parents=True)
        for subject in subjects:
            for source in sorted((shared_assets / "faces" / "orl_aligned" / subject).glob("*.png"))[:IMAGES]:
                with Image.open(source) as image:
                    image.convert("RGB").save(images / f"{subject}_{source.name}")
    return folder


def tiny_config(**changes: object) -> DsrTrainingConfig:
    values = {"train_dir": "train", "val_dir": "val", "device": "cpu", "num_workers": 0, "batch_size": 4, "epochs": 2}
    return DsrTrainingConfig.model_validate(
        {**values, "channels": 4, "blocks": 1, "factors": [2], "vlr_sizes": [12, 16]} | changes
    )


def files_in(faces: Path, weights: Path, output: Path, resume: ResumeFrom | None = None) -> TrainingFiles:
    return TrainingFiles(
        faces / "train_processed",
        faces / "val_processed",
        weights,
        None,
        output,
        prepared_dir=faces / "prepared",
        resume=resume,
    )


def run(
    config: DsrTrainingConfig,
    files: TrainingFiles,
    control: Control | None = None,
    on_event: Callable[[TrainingEvent], None] = lambda _: None,
) -> tuple[Finished | Stopped, list[TrainingEvent]]:
    events: list[TrainingEvent] = []

    def report(event: TrainingEvent) -> None:
        events.append(event)
        on_event(event)

    return train_dsr(config, files, report, control), events


def finished(config: DsrTrainingConfig, files: TrainingFiles) -> tuple[Finished, list[TrainingEvent]]:
    last, events = run(config, files)
    assert isinstance(last, Finished)
    return last, events


def checkpoints_of(events: list[TrainingEvent]) -> list[Checkpoint]:
    return [event for event in events if isinstance(event, Checkpoint)]


def newest_state(events: list[TrainingEvent]) -> StateSaved:
    return [event for event in events if isinstance(event, StateSaved)][-1]


@pytest.fixture(scope="session")
def real_faces(shared_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_faces(shared_assets, tmp_path_factory.mktemp("faces"))
