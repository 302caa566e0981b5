"""Which pairs of two sets of faces show one subject, and which two."""

import numpy as np
import torch
from torch import Tensor

from worker.training.metrics.faces import FaceSet, numbered

# Shape suffixes: P probes, R probes of a block, G gallery images.


class PairMasks:
    """Masks of the genuine and the impostor pairs of a block, on the device of the probes. Without a gallery, each two
    probes make one pair. `impostors` is the number of impostor pairs."""

    def __init__(self, probes: FaceSet, gallery: FaceSet | None) -> None:
        self.within = gallery is None
        self.gallery = probes if gallery is None else gallery
        device = probes.tensor.device
        self.subjects, subject_P, subject_G = numbered(probes.subjects, self.gallery.subjects)
        _, name_P, name_G = numbered(probes.names, self.gallery.names)
        number = len(self.subjects)
        same = np.bincount(subject_P, minlength=number) @ np.bincount(subject_G, minlength=number)
        impostors = len(subject_P) * len(subject_G) - int(same)
        self.impostors = impostors // 2 if self.within else impostors
        self.subject_P, self.subject_G, self._name_P, self._name_G = (
            torch.from_numpy(numbers).to(device) for numbers in (subject_P, subject_G, name_P, name_G)
        )

    def genuine(self, block: slice) -> Tensor:
        """Return the mask [R, G] of pairs of one subject that do not compare an image with itself."""
        genuine_RG = self.subject_P[block, None] == self.subject_G
        genuine_RG &= self._name_P[block, None] != self._name_G
        return self._counted_once(genuine_RG, block)

    def impostor(self, block: slice) -> Tensor:
        """Return the mask [R, G] of pairs of two subjects."""
        return self._counted_once(self.subject_P[block, None] != self.subject_G, block)

    def _counted_once(self, mask_RG: Tensor, block: slice) -> Tensor:
        if self.within:
            places_G = torch.arange(len(self.subject_G), device=mask_RG.device)
            mask_RG &= places_G[block, None] < places_G
        return mask_RG
