"""The faces of val and their classes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from app.finetune.dataset import ImageFile


@dataclass(frozen=True)
class ValFaces:
    """Val's VLR probes and HR gallery, uint8 [., 3, 112, 112], and the class ids of the train set's subjects."""

    probes_u8_PCHW: Tensor
    probe_images: tuple[ImageFile, ...]
    gallery_u8_GCHW: Tensor
    gallery_images: tuple[ImageFile, ...]
    subject_to_id: dict[str, int]

    def labels(self) -> Tensor:
        """The class id [P] of each probe, -1 for a subject that the train set lacks."""
        return torch.tensor([self.subject_to_id.get(image.subject, -1) for image in self.probe_images])
