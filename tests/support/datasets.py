"""Tiny datasets and weights that are well formed, for tests that do not care what the faces show."""

import functools
import io
from pathlib import Path

import timm
import torch
from PIL import Image


def write_dataset(
    folder: Path, *, train_subjects: int = 3, val_subjects: int = 3, images: int = 2, vlr_size: int = 16
) -> Path:
    """`folder/{train,val}_processed`, each image a shade of its own; val's subjects are the first of train's."""
    for half, subjects, first in (("train_processed", train_subjects, 0), ("val_processed", val_subjects, 15)):
        for kind, size in (("vlr_images", vlr_size), ("hr_images", 112)):
            images_folder = folder / half / kind
            images_folder.mkdir(parents=True)
            for subject in range(subjects):
                for image in range(images):
                    shade = (40 * subject % 256, 200 - 20 * subject, first + 30 * image)
                    Image.new("RGB", (size, size), shade).save(images_folder / f"{subject:03}_{image:02}.png")
    return folder


def write_edgeface(path: Path, timm_name: str = "edgenext_xx_small") -> Path:
    """Untrained EdgeFace weights under the official key names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_edgeface_file(timm_name))
    return path


@functools.cache
def _edgeface_file(timm_name: str) -> bytes:
    """Building the network takes longer than most tests that need a file of its weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = timm.create_model(timm_name, num_classes=512)
    file = io.BytesIO()
    torch.save({f"model.{name}": tensor for name, tensor in backbone.state_dict().items()}, file)
    return file.getvalue()
