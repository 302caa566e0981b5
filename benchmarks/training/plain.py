"""(a) The guide's way: the dataset decodes and super-resolves each sample of each epoch, one at a time.

Also the parts that (b) shares: timm's network, and ArcFace as it is commonly written.
"""

import time
from collections.abc import Iterable
from pathlib import Path

import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms  # type: ignore[import-untyped]

from app.finetune.config import FinetuneConfig
from benchmarks.training.data import FACE_SIZE, Inputs
from benchmarks.training.outcome import Trained
from worker.training.models.dsr import load_dsr

Sample = tuple[Tensor, int]
Batches = tuple[DataLoader[Sample], DataLoader[Sample]]
"""Of train, shuffled, and of val."""

# The guide's loss clamps the cosine to this before the arc cosine.
_BELOW_ONE = 1 - 1e-7


class PerSampleDsr(Dataset[Sample]):
    """Dataset that decodes, super-resolves and augments a face on each access."""

    def __init__(self, folder: Path, subject_to_id: dict[str, int], dsr: nn.Module, *, train: bool) -> None:
        self._paths = sorted(folder.iterdir())
        self._subject_to_id = subject_to_id
        self._dsr = dsr
        self._device = next(dsr.parameters()).device
        augmentation = [
            transforms.RandomHorizontalFlip(0.5),
            transforms.ColorJitter(brightness=0.05, contrast=0.05, saturation=0.03),
        ]
        self._transform = transforms.Compose(
            [*(augmentation if train else []), transforms.Normalize([0.5] * 3, [0.5] * 3)]
        )
        self._to_tensor = transforms.ToTensor()

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Sample:
        path = self._paths[index]
        vlr = self._to_tensor(Image.open(path).convert("RGB"))[None].to(self._device)
        with torch.no_grad():
            face = self._dsr(vlr).clamp(0, 1)
            face = F.interpolate(face, (FACE_SIZE, FACE_SIZE), mode="bilinear", antialias=True)[0]
        return self._transform(face.cpu()), self._subject_to_id[path.stem.partition("_")[0]]


class PlainArcFace(nn.Module):
    """Returns logits with and without the margin, by the arc cosine."""

    def __init__(self, subjects: int, scale: float, margin: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(subjects, 512)))
        self.scale, self.margin = scale, margin

    def forward(self, e_BD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
        cosine_BS = F.linear(F.normalize(e_BD), F.normalize(self.weight)).clamp(-_BELOW_ONE, _BELOW_ONE)
        target_BS = F.one_hot(labels_B, cosine_BS.shape[1]).bool()
        angle_BS = torch.where(target_BS, cosine_BS.acos() + self.margin, cosine_BS.acos())
        return self.scale * angle_BS.cos(), self.scale * cosine_BS


def subjects_of(inputs: Inputs) -> dict[str, int]:
    subjects = sorted({path.stem.partition("_")[0] for path in inputs.train_vlr.iterdir()})
    return {subject: number for number, subject in enumerate(subjects)}


def load_backbone(inputs: Inputs) -> nn.Module:
    backbone: nn.Module = timm.create_model("edgenext_xx_small", num_classes=512)
    weights = torch.load(inputs.folder / "edgeface.pt", weights_only=True)
    backbone.load_state_dict({name.removeprefix("model."): tensor for name, tensor in weights.items()})
    return backbone


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(inputs: Inputs, output: Path) -> Trained:
    """Train as the guide's script does."""
    trained = Trained()
    with trained.timed():
        subject_to_id, dsr = subjects_of(inputs), load_dsr(inputs.folder / "dsr.pth").to(device())
        config = inputs.config
        train_faces = PerSampleDsr(inputs.train_vlr, subject_to_id, dsr, train=True)
        val_faces = PerSampleDsr(inputs.val_vlr, subject_to_id, dsr, train=False)
        batches = (
            DataLoader(train_faces, config.batch_size, shuffle=True, num_workers=0),
            DataLoader(val_faces, config.batch_size, num_workers=0),
        )
        two_stages(config, load_backbone(inputs), len(subject_to_id), batches, trained, output)
    return trained


def two_stages(
    config: FinetuneConfig,
    backbone: nn.Module,
    subjects: int,
    batches: Batches,
    trained: Trained,
    output: Path,
    memory_format: torch.memory_format = torch.contiguous_format,
) -> None:
    """Train both stages. Each epoch ends with the accuracy on val's VLR faces, and a checkpoint if it improved."""
    torch.manual_seed(config.seed)
    train_batches, val_batches = batches
    backbone = backbone.to(device()).to(memory_format=memory_format)  # type: ignore[call-overload]
    head = PlainArcFace(subjects, config.arcface_scale, config.arcface_margin).to(device())
    best = -1.0
    for stage, epochs in ((1, config.stage1_epochs), (2, config.stage2_epochs)):
        backbone.requires_grad_(stage == 2)
        groups: list[dict[str, object]] = [
            {"params": head.parameters(), "lr": config.head_lr if stage == 1 else config.head_lr_stage2}
        ]
        if stage == 2:
            groups.append({"params": backbone.parameters(), "lr": config.backbone_lr})
        optimizer = AdamW(groups, weight_decay=config.weight_decay)
        schedule = CosineAnnealingLR(optimizer, T_max=epochs * len(train_batches)) if stage == 2 else None
        for _ in range(epochs):
            backbone.train(stage == 2)
            loss_sum, images, started = 0.0, 0, time.perf_counter()
            for x_BCHW, labels_B in _on_device(train_batches, memory_format):
                logits_BS, _ = head(backbone(x_BCHW), labels_B)
                loss = F.cross_entropy(logits_BS, labels_B, label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                loss_sum += loss.item() * len(labels_B)
                images += len(labels_B)
            if stage == 2:
                trained.images_per_second.append(images / (time.perf_counter() - started))
            trained.losses.append(loss_sum / images)
            accuracy = _accuracy(backbone, head, _on_device(val_batches, memory_format))
            if stage == 2 and accuracy > best:
                best = accuracy
                torch.save({"backbone": backbone.state_dict(), "head": head.state_dict()}, output / "best.pth")


@torch.no_grad()
def _accuracy(backbone: nn.Module, head: PlainArcFace, batches: Iterable[tuple[Tensor, Tensor]]) -> float:
    backbone.eval()
    right, images = 0, 0
    for x_BCHW, labels_B in batches:
        right += int((head(backbone(x_BCHW), labels_B)[1].argmax(1) == labels_B).sum())
        images += len(labels_B)
    return right / images


def _on_device(batches: DataLoader[Sample], memory_format: torch.memory_format) -> Iterable[tuple[Tensor, Tensor]]:
    for x_BCHW, labels_B in batches:
        yield x_BCHW.to(device(), memory_format=memory_format, non_blocking=True), labels_B.to(device())
