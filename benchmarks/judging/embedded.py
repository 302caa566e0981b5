"""Embeddings of real faces at several sizes, each set embedded once and kept in a folder."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from worker.training.data.preprocess import decode, enlarge_bicubic, resize_bicubic
from worker.training.metrics import FaceSet
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed

# Shape suffixes: N faces, C = 3 channels (RGB), H = W = 112 pixels, D = 512; _u8 is uint8 in 0..255.

HR, UNCROPPED = "HR", "uncropped"
SIZES = ("8", "10", "12", "16", "24", "32", HR)
"""Pixels of a face's side, in text. `uncropped`, which is not among them, is the face on a canvas twice as wide,
reduced to 112 px: like a photo that nobody cropped."""


class EmbeddedFaces:
    """Embeddings by one backbone of the sets in `assets/faces`, which are `SET/PERSON/IMAGE`, kept in `folder`."""

    def __init__(self, assets: Path, folder: Path, weights: str = "edgeface_xxs") -> None:
        self._assets, self._folder, self._weights = assets, folder, weights

    def of(self, faces: str, size: str) -> FaceSet:
        """Return the embeddings of one set at one size of SIZES: float32 [N, 512], by person and file name."""
        kept = self._folder / f"{faces}-{size}-{self._weights}.npz"
        if not kept.exists():
            self._embed(faces, size, kept)
        with np.load(kept) as arrays:
            return FaceSet(arrays["embeddings"], arrays["subjects"].tolist(), arrays["names"].tolist())

    def _embed(self, faces: str, size: str, kept: Path) -> None:
        paths = face_files(self._assets / "faces" / faces)
        hr_u8_NCHW = read_hr(paths)
        faces_u8_NCHW = hr_u8_NCHW
        if size == UNCROPPED:
            faces_u8_NCHW = enlarge_bicubic(F.pad(hr_u8_NCHW.float(), (60, 60, 60, 60), mode="reflect").to(torch.uint8))
        elif size != HR:
            faces_u8_NCHW = enlarge_bicubic(resize_bicubic(hr_u8_NCHW, int(size)))
        backbone = load_edgeface(self._assets / "weights" / f"{self._weights}.pt")[0]
        e_ND = embed(backbone, faces_u8_NCHW, torch.device("cpu")).numpy()
        self._folder.mkdir(parents=True, exist_ok=True)
        subjects, names = [path.parent.name for path in paths], [f"{path.parent.name}_{path.stem}" for path in paths]
        np.savez(kept, embeddings=e_ND, subjects=np.array(subjects), names=np.array(names))


def face_files(folder: Path) -> list[Path]:
    """Return `folder/PERSON/IMAGE`, sorted."""
    return sorted(path for path in folder.glob("*/*") if path.suffix in {".png", ".pgm"})


def read_hr(paths: list[Path]) -> Tensor:
    """Return faces of 112 x 112 pixels, uint8 [N, 3, 112, 112]."""
    images = [torch.from_numpy(decode(path).copy()).permute(2, 0, 1)[None] for path in paths]
    return torch.cat([enlarge_bicubic(image_u8_1CHW) for image_u8_1CHW in images])
