"""(c) Lightning Fabric with pytorch-metric-learning's ArcFaceLoss, on the faces stored as in (b).

That loss has no label smoothing, so its values are not comparable with the others.
"""

import math
import time
from pathlib import Path

import torch
from lightning.fabric import Fabric
from pytorch_metric_learning.losses import ArcFaceLoss
from torch.optim import AdamW
from torch.optim.lr_scheduler import CosineAnnealingLR

from benchmarks.training.careful import loaders, store_faces
from benchmarks.training.data import Inputs
from benchmarks.training.outcome import Trained
from benchmarks.training.plain import load_backbone, subjects_of


def train(inputs: Inputs, output: Path) -> Trained:
    trained, config = Trained(), inputs.config
    with trained.timed():
        fabric = Fabric(accelerator="auto", devices=1)
        fabric.seed_everything(config.seed, verbose=False)
        subject_to_id = subjects_of(inputs)
        batches = fabric.setup_dataloaders(*loaders(store_faces(inputs, output), subject_to_id, config))
        backbone = load_backbone(inputs)
        head = ArcFaceLoss(
            len(subject_to_id), 512, margin=math.degrees(config.arcface_margin), scale=config.arcface_scale
        )
        backbone, head = fabric.setup_module(backbone), fabric.to_device(head)
        best = -1.0
        for stage, epochs in ((1, config.stage1_epochs), (2, config.stage2_epochs)):
            backbone.requires_grad_(stage == 2)
            groups = [{"params": head.parameters(), "lr": config.head_lr if stage == 1 else config.head_lr_stage2}]
            if stage == 2:
                groups.append({"params": backbone.parameters(), "lr": config.backbone_lr})
            optimizer = fabric.setup_optimizers(AdamW(groups, weight_decay=config.weight_decay))
            schedule = CosineAnnealingLR(optimizer, T_max=epochs * len(batches[0])) if stage == 2 else None
            for _ in range(epochs):
                backbone.train(stage == 2)
                loss_sum, images, started = 0.0, 0, time.perf_counter()
                for x_BCHW, labels_B in batches[0]:
                    optimizer.zero_grad()
                    loss = head(backbone(x_BCHW), labels_B)
                    fabric.backward(loss)
                    optimizer.step()
                    if schedule is not None:
                        schedule.step()
                    loss_sum += loss.item() * len(labels_B)
                    images += len(labels_B)
                if stage == 2:
                    trained.images_per_second.append(images / (time.perf_counter() - started))
                trained.losses.append(loss_sum / images)
                backbone.eval()
                right = 0
                with torch.no_grad():
                    for x_BCHW, labels_B in batches[1]:
                        right += int((head.get_logits(backbone(x_BCHW)).argmax(1) == labels_B).sum())
                if stage == 2 and right > best:
                    best = right
                    fabric.save(output / "best.pth", {"backbone": backbone.state_dict(), "head": head.state_dict()})
    return trained
