"""Embeds all images by all backbones. Each image is decoded and enlarged once, then discarded."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import nn

from app.finetune.dataset import ImageFile, Split
from app.finetune.evaluation import Backbone, Images
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.image_file import paths_of
from worker.training.data.preprocess import Enlarge, enlarge_bicubic, enlarge_bilinear, enlarge_images
from worker.training.metrics import FaceSet
from worker.training.models.embedding import embed, face_set
from worker.training.runtime.control import Control
from worker.training.runtime.cpu_parallel import parallel_on_all_cores


@dataclass(frozen=True)
class System:
    """Images and their enlargement to 112 x 112. `vlr_size` is that of `enlarge_images`."""

    images: Sequence[ImageFile]
    enlarge: Enlarge
    vlr_size: int | None


def systems_of(split: Split, config: EvaluationConfig, by_dsr: Enlarge | None) -> dict[Images, System]:
    """Return one system for the HR images and one per enlargement of the VLR images."""
    enlargements: dict[Images, Enlarge] = {"direct": enlarge_bilinear, "bicubic": enlarge_bicubic}
    if by_dsr is not None:
        enlargements["dsr"] = by_dsr
    vlr = {name: System(split.vlr_images, enlarge, config.vlr_size) for name, enlarge in enlargements.items()}
    return {"hr": System(split.hr_images, enlarge_bicubic, None), **vlr}


KnownFaces = Mapping[tuple[Backbone, Images], FaceSet]
"""Embeddings to reuse, by backbone and kind of images."""


@dataclass(frozen=True)
class Embedded:
    """Embeddings by backbone and kind of images, and the sizes (width, height) of the VLR files."""

    faces: dict[tuple[Backbone, Images], FaceSet]
    vlr_sizes: Counter[tuple[int, int]]


def embed_systems(
    systems: Mapping[Images, System],
    backbones: Mapping[Backbone, nn.Module],
    config: EvaluationConfig,
    device: torch.device,
    control: Control,
    on_progress: Callable[[float], None],
    known: KnownFaces,
) -> Embedded:
    """Embed all systems by all backbones. `on_progress` is called with the share done in [0, 1].

    Raises OutOfMemory, EnlargementNotFinite and StopRequested.
    """
    parallel = parallel_on_all_cores(device)
    faces = {key: known[key] for key in product(backbones, systems) if _is_of(known.get(key), systems[key[1]])}
    sizes: Counter[tuple[int, int]] = Counter()
    asked = {kind: [backbone for backbone in backbones if (backbone, kind) not in faces] for kind in systems}
    done, images = 0, sum(len(systems[kind].images) for kind in systems if asked[kind])
    for kind, system in systems.items():
        parts: dict[Backbone, list[torch.Tensor]] = {backbone: [] for backbone in asked[kind]}
        if not parts:
            continue
        paths = paths_of(system.images)
        for chunk in enlarge_images(paths, system.enlarge, threads=config.num_workers, vlr_size=system.vlr_size):
            control.refuse_if_stopped()
            for backbone, embeddings in parts.items():
                network = backbones[backbone]
                embeddings.append(embed(network, chunk.pixels_u8, device, tta=config.tta, parallel=parallel).cpu())
            if kind == "direct":
                sizes += chunk.sizes
            done += len(chunk.pixels_u8)
            on_progress(done / images)
        for backbone, e_ND in parts.items():
            faces[backbone, kind] = face_set(torch.cat(e_ND), system.images)
    return Embedded(faces, sizes)


def _is_of(known: FaceSet | None, system: System) -> bool:
    """Return whether the embeddings match the system's files, which may have changed since."""
    return known is not None and list(known.names) == [image.photo for image in system.images]
