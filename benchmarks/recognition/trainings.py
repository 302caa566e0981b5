"""Runs one fine-tuning: writes its dataset, calls `finetune` and loads the exported backbone."""

import tempfile
from pathlib import Path

from PIL import Image
from torch import Tensor

from app.finetune.config import FinetuneConfig
from app.finetune.events import Checkpoint, TrainingEvent
from app.finetune.recipes import Recipe
from benchmarks.recognition.people import People
from worker.training.finetune import finetune
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.runtime.control import Control
from worker.training.storage.paths import TrainingFiles

_VAL_IMAGES = 2


def config_of(recipe: Recipe, *, seed: int) -> FinetuneConfig:
    """Return a config with the recipe's defaults."""
    return FinetuneConfig(recipe=recipe, train_dir="train", val_dir="val", seed=seed, device="cpu")


def what_figures_depend_on(config: FinetuneConfig) -> dict[str, object]:
    """Return the config fields that a training's figures depend on."""
    return config.model_dump(mode="json", exclude={"train_dir", "val_dir", "dataset", "seed", "allowed_leaks"})


def train(config: FinetuneConfig, people: People, sizes: tuple[int, ...], edgeface: Path) -> EdgeFace:
    """Train and return the best epoch's backbone. VLR images have `sizes` px in turn. Val shows the same people as
    train, since the unseen people must not select the epoch."""
    with tempfile.TemporaryDirectory(prefix="edgeface-recognition-") as scratch:
        folder = Path(scratch)
        _write(people, folder, sizes)
        checkpoints: list[Checkpoint] = []

        def hear(event: TrainingEvent) -> None:
            if isinstance(event, Checkpoint):
                checkpoints.append(event)

        files = TrainingFiles(
            folder / "train", folder / "val", edgeface, None, folder / "output", prepared_dir=folder / "prepared"
        )
        finetune(config.model_copy(update={"allowed_leaks": ("*",)}), files, hear, Control(predict_duration=False))
        return load_edgeface(checkpoints[-1].full.path)[0]


def _write(people: People, folder: Path, sizes: tuple[int, ...]) -> None:
    vlr = {size: people.vlr(size) for size in sizes}
    of_person: dict[str, int] = {}
    for index, (file, hr_u8_CHW) in enumerate(zip(people.files, people.hr_u8_NCHW, strict=True)):
        person = file.name.split("_", 1)[0]
        image = of_person[person] = of_person.get(person, -1) + 1
        for split in ("train", "val") if image < _VAL_IMAGES else ("train",):
            _save(hr_u8_CHW, folder / split / "hr_images" / file.name)
            _save(vlr[sizes[image % len(sizes)]][index], folder / split / "vlr_images" / file.name)


def _save(image_u8_CHW: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image_u8_CHW.permute(1, 2, 0).numpy()).save(path)
