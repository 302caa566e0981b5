"""Synthetic identities: thousands of HR faces of people that do not exist, from a few hundred photos of real ones.

An identity is two subjects, a mask that blends them and a bend of the face, the same for all its faces; a face is a
photo of each subject, in its own pose and light. They need no labels: the teacher's embeddings are the targets.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from app.finetune.config import FACE_SIZE, FACES_OF_EACH
from worker.training.data.preprocess import Faces, to_u8
from worker.training.data.warps import bend, blend, light, pose

# Shape suffixes: N HR images of the train set, P synthetic identities, Q = 8 P faces of them, B some of these faces,
# C = 3 channels (RGB), H = W = 112 pixels; _u8 is uint8 in 0..255.

_BLENDED = 0.7
_BEND = 3.0
_FACE_BEND = 2.0
"""Pixels, as _BEND: standard deviations."""
_MASK_KNOTS, _BEND_KNOTS = 4, 5

_FORMAT_VERSION = 1
_IDENTITIES_AT_ONCE = 8


@dataclass(frozen=True)
class SyntheticIdentities:
    """The random choices: the two HR images that each face is made from, and the parameters of each change, one per
    identity [P, ...] or per face [Q, ...]."""

    photos_Q2: Tensor
    blended_P: Tensor
    mirrored_P: Tensor
    mask_bias_P: Tensor
    mask_P1KK: Tensor
    bend_P2KK: Tensor
    pose_Q6: Tensor
    face_bend_Q2KK: Tensor
    light_Q5: Tensor

    def __len__(self) -> int:
        return len(self.blended_P)

    def faces(self, hr_u8_NCHW: Tensor) -> Iterator[Faces]:
        """All faces, some at a time, in the order of the identities. `hr_u8_NCHW` are the train set's HR faces."""
        for first in range(0, len(self), _IDENTITIES_AT_ONCE):
            identity_B = torch.arange(first, min(first + _IDENTITIES_AT_ONCE, len(self))).repeat_interleave(
                FACES_OF_EACH
            )
            start = first * FACES_OF_EACH
            made_u8 = self._made(hr_u8_NCHW, identity_B, slice(start, start + len(identity_B)))
            yield Faces(made_u8, Counter({(FACE_SIZE, FACE_SIZE): len(made_u8)}))

    def _made(self, hr_u8_NCHW: Tensor, identity_B: Tensor, faces: slice) -> Tensor:
        one_BCHW, other_BCHW = (hr_u8_NCHW[self.photos_Q2[faces, side]].float() / 255 for side in (0, 1))
        mirrored_B111, blended_B111 = (
            which[identity_B][:, None, None, None] for which in (self.mirrored_P, self.blended_P)
        )
        other_BCHW = torch.where(mirrored_B111, other_BCHW.flip(3), other_BCHW)
        both_BCHW = blend(one_BCHW, other_BCHW, self.mask_P1KK[identity_B], self.mask_bias_P[identity_B])
        x_BCHW = bend(torch.where(blended_B111, both_BCHW, one_BCHW), self.bend_P2KK[identity_B])
        x_BCHW = pose(x_BCHW, self.pose_Q6[faces], self.face_bend_Q2KK[faces])
        return to_u8(light(x_BCHW, self.light_Q5[faces]))


def draw_identities(labels_N: Tensor, identities: int, seed: int) -> SyntheticIdentities:
    """Draw this number of identities from HR images with class ids `labels_N`."""
    generator, faces = torch.Generator().manual_seed(seed), identities * FACES_OF_EACH
    images_S = labels_N.unique(return_counts=True)[1]  # type: ignore[no-untyped-call]
    by_subject_N, first_S = labels_N.argsort(stable=True), images_S.cumsum(0) - images_S
    subjects_P2 = torch.randint(len(images_S), (identities, 2), generator=generator)
    subjects_Q2 = subjects_P2.repeat_interleave(FACES_OF_EACH, 0)
    which_Q2 = (torch.rand(faces, 2, generator=generator) * images_S[subjects_Q2]).long()
    return SyntheticIdentities(
        photos_Q2=by_subject_N[first_S[subjects_Q2] + which_Q2],
        blended_P=torch.rand(identities, generator=generator) < _BLENDED,
        mirrored_P=torch.rand(identities, generator=generator) < 0.5,
        mask_bias_P=torch.rand(identities, generator=generator),
        mask_P1KK=torch.rand(identities, 1, _MASK_KNOTS, _MASK_KNOTS, generator=generator),
        bend_P2KK=_BEND * torch.randn(identities, 2, _BEND_KNOTS, _BEND_KNOTS, generator=generator),
        pose_Q6=torch.rand(faces, 6, generator=generator),
        face_bend_Q2KK=_FACE_BEND * torch.randn(faces, 2, _BEND_KNOTS, _BEND_KNOTS, generator=generator),
        light_Q5=torch.rand(faces, 5, generator=generator),
    )


def synthetic_key(train_hr: str, identities: int, seed: int) -> str:
    """The key of their prepared faces; `train_hr` is a digest as in InputDigests."""
    made_from = ["invented", _FORMAT_VERSION, train_hr, identities, FACES_OF_EACH, seed]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()
