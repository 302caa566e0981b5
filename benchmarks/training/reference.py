"""The method without our speed-ups: timm's network, whole batches in both stages, PyTorch's default AdamW.

It draws the same random numbers as ours, so a pair differs only by the speed-ups.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR
from torchvision.transforms.v2 import functional  # type: ignore[import-untyped]

from app.finetune.dataset import scan_dataset
from app.finetune.image_file import paths_of
from benchmarks.training.data import Inputs
from benchmarks.training.plain import load_backbone
from worker.training.data.augment import draw
from worker.training.data.preprocess import Enlarge, decode, enlarge_bicubic
from worker.training.metrics import score_pairs, tar_at_far
from worker.training.models.embedding import embed, face_set
from worker.training.objectives.arcface import ArcFaceMargin
from worker.training.objectives.classifier import CosineClassifier
from worker.training.objectives.margin_softmax import MarginSoftmax


def train(inputs: Inputs) -> tuple[float, float]:
    """Train and return the mean train loss of the last epoch and `tar` of the final network."""
    config = inputs.config
    scan = scan_dataset(inputs.folder / "train", inputs.folder / "val")
    faces_u8_NCHW = _faces(paths_of(scan.train.vlr_images), enlarge_bicubic)
    labels_N = torch.tensor([scan.subject_to_id[image.subject] for image in scan.train.vlr_images])
    backbone = load_backbone(inputs)
    generator = torch.Generator().manual_seed(config.seed)
    head = CosineClassifier(512, len(scan.subject_to_id), config.arcface_scale, generator)
    arcface = MarginSoftmax(head, ArcFaceMargin(config.arcface_margin))
    loss = 0.0
    for stage, epochs in ((1, config.stage1_epochs), (2, config.stage2_epochs)):
        backbone.requires_grad_(stage == 2).train(stage == 2)
        groups: list[dict[str, object]] = [
            {"params": head.parameters(), "lr": config.head_lr if stage == 1 else config.head_lr_stage2}
        ]
        if stage == 2:
            groups.insert(0, {"params": backbone.parameters(), "lr": config.backbone_lr})
        optimizer = AdamW(groups, weight_decay=config.weight_decay)
        batches = -(-len(labels_N) // config.batch_size)
        schedule = CosineAnnealingLR(optimizer, T_max=epochs * batches) if stage == 2 else None
        for _ in range(epochs):
            order_N = torch.randperm(len(labels_N), generator=generator)
            loss_sum = 0.0
            for chosen_B in torch.split(order_N, config.batch_size):
                x_BCHW = _augmented(faces_u8_NCHW[chosen_B] / 255, draw(len(chosen_B), generator))
                logits_BS, _ = arcface.logits(backbone(x_BCHW), labels_N[chosen_B])
                step_loss = F.cross_entropy(logits_BS, labels_N[chosen_B], label_smoothing=config.label_smoothing)
                optimizer.zero_grad()
                step_loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                if schedule is not None:
                    schedule.step()
                loss_sum += step_loss.item() * len(chosen_B)
            loss = loss_sum / len(labels_N)
    return loss, tar(inputs, backbone)


def tar(inputs: Inputs, backbone: nn.Module) -> float:
    """Return TAR at FAR 0.1 % of val's VLR faces against its HR faces, from at least one error (a report needs ten)."""
    scan = scan_dataset(inputs.folder / "train", inputs.folder / "val")
    probes, gallery = (
        face_set(embed(backbone, _faces(paths_of(images), enlarge_bicubic), torch.device("cpu")), images)
        for images in (scan.val.vlr_images, scan.val.hr_images)
    )
    found = tar_at_far(score_pairs(probes, gallery), 0.001, fewest_errors=1)
    assert found is not None
    return found


def _faces(paths: tuple[Path, ...], enlarge: Enlarge) -> torch.Tensor:
    images = [torch.from_numpy(decode(path).copy()).permute(2, 0, 1)[None] for path in paths]
    return torch.cat([enlarge(image) for image in images])


def _augmented(x_BCHW: torch.Tensor, drawn_4B: torch.Tensor) -> torch.Tensor:
    """Augment with torchvision's functions, one face at a time."""
    faces = []
    for face_CHW, (flip, brightness, contrast, saturation) in zip(x_BCHW, drawn_4B.T.tolist(), strict=True):
        face = functional.horizontal_flip(face_CHW) if flip < 0.5 else face_CHW
        face = functional.adjust_brightness(face, 1 + 0.05 * (2 * brightness - 1))
        face = functional.adjust_contrast(face, 1 + 0.05 * (2 * contrast - 1))
        face = functional.adjust_saturation(face, 1 + 0.03 * (2 * saturation - 1))
        faces.append(functional.normalize(face, [0.5] * 3, [0.5] * 3))
    return torch.stack(faces)
