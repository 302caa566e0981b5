"""Common faces, weights and config for every peer."""

from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from app.drawn_faces import draw_face
from app.finetune.architectures import DsrLayout
from app.finetune.config import BICUBIC, FinetuneConfig
from worker.training.models.dsr import DSR
from worker.training.models.edgeface import new_edgeface
from worker.training.storage.paths import TrainingFiles

VLR_SIZE = 16
FACE_SIZE = 112


@dataclass(frozen=True)
class Inputs:
    """Folders of PNGs named SUBJECT_NUMBER.png, a bare EdgeFace-XXS state dict and a DSR's."""

    folder: Path
    config: FinetuneConfig

    @property
    def train_vlr(self) -> Path:
        return self.folder / "train" / "vlr_images"

    @property
    def val_vlr(self) -> Path:
        return self.folder / "val" / "vlr_images"

    def files(self, output: Path) -> TrainingFiles:
        """Return the files of our own training, without prepared faces."""
        return TrainingFiles(
            self.folder / "train",
            self.folder / "val",
            self.folder / "edgeface.pt",
            None if self.config.dsr == BICUBIC else self.folder / "dsr.pth",
            output,
            prepared_dir=output / "prepared",
        )


def config(*, stage1_epochs: int, stage2_epochs: int, seed: int = 42) -> FinetuneConfig:
    """Return a config with the guide's defaults and without early stopping."""
    return FinetuneConfig(
        train_dir="train",
        val_dir="val",
        dsr="dsr.pth",
        device="auto",
        early_stop_patience=0,
        stage1_epochs=stage1_epochs,
        stage2_epochs=stage2_epochs,
        seed=seed,
    )


def write_inputs(
    folder: Path, settings: FinetuneConfig, *, subjects: int, train_images: int, assets: Path, unseen: int = 0
) -> Inputs:
    """Write real faces and weights from `assets` if available, else drawn faces and untrained weights.

    Every subject is in train and, with two images, in val; or the last `unseen` subjects are in val only. The DSR has
    the guide's size and repeats pixels, which takes as long as a trained one.
    """
    for subject in range(subjects):
        for image in range(train_images + 2):
            face = _face(assets, subject, image)
            in_val = subject >= subjects - unseen if unseen else image >= train_images
            split = folder / ("val" if in_val else "train")
            vlr = face.resize((VLR_SIZE, VLR_SIZE), Image.Resampling.BICUBIC)
            for kind, picture in (("hr_images", face), ("vlr_images", vlr)):
                (split / kind).mkdir(parents=True, exist_ok=True)
                picture.save(split / kind / f"{subject:03}_{image:02}.png")
    torch.save(weights_of(assets), folder / "edgeface.pt")
    torch.save(pixel_repeating_dsr().state_dict(), folder / "dsr.pth")
    return Inputs(folder, settings)


def weights_of(assets: Path) -> dict[str, Tensor]:
    """The official EdgeFace-XXS in `assets` if available, else an untrained one."""
    given = assets / "weights" / "edgeface_xxs.pt"
    if not given.is_file():
        return new_edgeface("edgeface_xxs", seed=0).state_dict()
    weights: dict[str, Tensor] = torch.load(given, weights_only=True)
    return weights


def _face(assets: Path, subject: int, image: int) -> Image.Image:
    path = assets / "faces" / "orl_aligned" / f"s{subject + 1:02}" / f"{image + 1:02}.png"
    if not path.is_file():
        return draw_face(subject, image)
    return Image.open(path).convert("RGB")


@torch.no_grad()
def pixel_repeating_dsr() -> DSR:
    """One of the guide's size that repeats pixels, which takes as long as a trained one."""
    dsr = DSR(DsrLayout(channels=64, blocks=8, factors=(2, 5), prelu_parameters=1))
    for name, parameter in dsr.named_parameters():
        if "prelu" not in name and parameter.dim() != 1:
            parameter.zero_()
    for module in dsr.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            module.bias.zero_()
    for colour in range(3):
        dsr.conv_in.weight[colour, colour, 1, 1] = 1
        dsr.conv_out.weight[colour, colour, 1, 1] = 1
        for upsampler, factor in zip(dsr.upsamplers, dsr.layout.factors, strict=True):
            copies = slice(colour * factor**2, (colour + 1) * factor**2)
            upsampler.get_submodule("0").get_parameter("weight")[copies, colour, 1, 1] = 1
    return dsr
