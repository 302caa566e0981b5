"""(b) A careful plain PyTorch loop: DSR once, in batches, its faces stored as PNG; a DataLoader with workers."""

import os
from pathlib import Path

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision.io import decode_image, write_png  # type: ignore[import-untyped]
from torchvision.transforms import v2  # type: ignore[import-untyped]

from app.finetune.config import FinetuneConfig
from benchmarks.training.data import FACE_SIZE, Inputs
from benchmarks.training.outcome import Trained
from benchmarks.training.plain import Batches, Sample, device, load_backbone, subjects_of, two_stages
from worker.training.models.dsr import load_dsr

_FACES_AT_ONCE = 32


class StoredFaces(Dataset[Sample]):
    """Dataset of stored faces, decoded and augmented on each access."""

    def __init__(self, folder: Path, subject_to_id: dict[str, int], *, train: bool) -> None:
        self._paths = sorted(folder.iterdir())
        self._labels = [subject_to_id[path.stem.partition("_")[0]] for path in self._paths]
        augmentation = [v2.RandomHorizontalFlip(0.5), v2.ColorJitter(brightness=0.05, contrast=0.05, saturation=0.03)]
        to_input = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.5] * 3)]
        self._transform = v2.Compose([*(augmentation if train else []), *to_input])

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Sample:
        return self._transform(decode_image(str(self._paths[index]))), self._labels[index]


@torch.inference_mode()
def store_faces(inputs: Inputs, folder: Path) -> tuple[Path, Path]:
    """Store both splits' super-resolved faces as PNG files."""
    dsr = load_dsr(inputs.folder / "dsr.pth").to(device())
    stored = folder / "train", folder / "val"
    for source, target in zip((inputs.train_vlr, inputs.val_vlr), stored, strict=True):
        target.mkdir()
        paths = sorted(source.iterdir())
        for start in range(0, len(paths), _FACES_AT_ONCE):
            some = paths[start : start + _FACES_AT_ONCE]
            vlr = torch.stack([decode_image(str(path)) for path in some]).to(device()) / 255
            faces = F.interpolate(dsr(vlr).clamp(0, 1), (FACE_SIZE, FACE_SIZE), mode="bilinear", antialias=True)
            for path, face in zip(some, faces.mul(255).round().to(torch.uint8).cpu(), strict=True):
                write_png(face, str(target / path.name))
    return stored


def loaders(stored: tuple[Path, Path], subject_to_id: dict[str, int], config: FinetuneConfig) -> Batches:
    """Return loaders with one persistent worker per core."""

    def loader(folder: Path, *, train: bool) -> DataLoader[Sample]:
        return DataLoader(
            StoredFaces(folder, subject_to_id, train=train),
            config.batch_size,
            shuffle=train,
            num_workers=min(config.num_workers, os.cpu_count() or 1),
            persistent_workers=True,
            pin_memory=torch.cuda.is_available(),
        )

    return loader(stored[0], train=True), loader(stored[1], train=False)


def train(inputs: Inputs, output: Path, memory_format: torch.memory_format = torch.contiguous_format) -> Trained:
    trained = Trained()
    with trained.timed():
        subject_to_id = subjects_of(inputs)
        batches = loaders(store_faces(inputs, output), subject_to_id, inputs.config)
        backbone = load_backbone(inputs)
        two_stages(inputs.config, backbone, len(subject_to_id), batches, trained, output, memory_format)
    return trained


def train_channels_last(inputs: Inputs, output: Path) -> Trained:
    return train(inputs, output, torch.channels_last)
