"""What is saved of the best epoch, and how a file comes to be there whole."""

import hashlib
import io
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from app.finetune.config import FinetuneConfig
from worker.training.events import WrittenFile
from worker.training.losses import ArcFace

FORMAT_VERSION = 1
FULL_NAME = "edgeface_finetuned.pth"
BACKBONE_NAME = "edgeface_backbone.pth"

_FOLDERS_KEPT = 2


@dataclass(frozen=True)
class Provenance:
    """What a checkpoint says of how it came about, but for its epoch. Plain values only."""

    config: FinetuneConfig
    subject_to_id: dict[str, int]
    variant: str
    enlargement: str
    resampler: str


class Checkpoints:
    """The best epochs of one training, under its output folder.

    The previous best stays, since somebody may be downloading it; older ones are removed.
    """

    def __init__(self, output_dir: Path, provenance: Provenance) -> None:
        self._output_dir = output_dir
        self._provenance = provenance
        self._folders: list[Path] = []

    def save_best(
        self, backbone: nn.Module, head: ArcFace, *, epoch: int, val_acc: float | None, val_auc: float | None
    ) -> tuple[WrittenFile, WrittenFile]:
        """Write `best-epoch-NNN/edgeface_finetuned.pth` and its bare `edgeface_backbone.pth`; both load with
        weights_only=True. `val_acc` and `val_auc` in 0..1."""
        backbone_state_dict = _plain(backbone.state_dict())
        content = {
            "backbone_state_dict": backbone_state_dict,
            "arcface_state_dict": _plain(head.state_dict()),
            "subject_to_id": self._provenance.subject_to_id,
            "epoch": epoch,
            "val_acc": val_acc,
            "val_auc": val_auc,
            "config": self._provenance.config.model_dump(mode="json"),
            "format_version": FORMAT_VERSION,
            "variant": self._provenance.variant,
            "preprocessing": {
                "enlargement": self._provenance.enlargement,
                "resampler": self._provenance.resampler,
                "channels": "RGB",
                "mean": 0.5,
                "std": 0.5,
            },
        }
        folder = self._output_dir / f"best-epoch-{epoch:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        written = write_whole(folder / FULL_NAME, content), write_whole(folder / BACKBONE_NAME, backbone_state_dict)
        self._folders.append(folder)
        if len(self._folders) > _FOLDERS_KEPT:
            shutil.rmtree(self._folders.pop(0))
        return written


def write_whole(path: Path, content: Mapping[str, object]) -> WrittenFile:
    """torch.save that a crash cannot leave half done: beside the path, to the disk, then named."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    _sync_folder(path.parent)
    return WrittenFile(path, buffer.getbuffer().nbytes, hashlib.sha256(buffer.getbuffer()).hexdigest())


def _plain(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A dict of tensors on the CPU: a state dict is a class of its own and lies where it was trained."""
    return {name: tensor.detach().cpu() for name, tensor in state_dict.items()}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
