"""The table published in shared/README.md, by the project's own evaluation and resampler.

EdgeFace-XXS on ORL: probes of N px against the HR gallery, no DSR, no fine-tuning.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.image_files import image_files
from worker.training.data.preprocess import decode, enlarge_bicubic, resize_bicubic
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.models.embedding import embed, face_set
from worker.training.validation.measure import measure

CPU = torch.device("cpu")
TOLERANCE = 0.005

# Probe size in pixels (None: HR): AUC, TAR at FAR 1 %, TAR at FAR 0.1 %, rank-1.
Table = dict[int | None, tuple[float, float, float, float]]
ALIGNED: Table = {
    None: (1.0000, 1.000, 0.999, 1.000),
    32: (1.0000, 1.000, 0.994, 0.998),
    24: (0.9999, 0.996, 0.983, 0.995),
    16: (0.9970, 0.938, 0.818, 0.950),
    12: (0.9674, 0.691, 0.426, 0.731),
    8: (0.7968, 0.104, 0.042, 0.158),
}
CENTRE_CROP: Table = {
    None: (0.9765, 0.838, 0.700, 0.851),
    32: (0.9749, 0.832, 0.694, 0.842),
    24: (0.9714, 0.823, 0.686, 0.838),
    16: (0.9635, 0.764, 0.561, 0.783),
    12: (0.9437, 0.576, 0.301, 0.639),
    8: (0.8190, 0.196, 0.056, 0.264),
}


@pytest.fixture(scope="module")
def xxs(shared_assets: Path) -> EdgeFace:
    return load_edgeface(shared_assets / "weights" / "edgeface_xxs.pt")[0]


def read(path: Path) -> Tensor:
    return torch.from_numpy(decode(path).copy()).permute(2, 0, 1)


def test_aligned(xxs: EdgeFace, shared_assets: Path) -> None:
    paths = sorted((shared_assets / "faces" / "orl_aligned").glob("s*/*.png"))
    assert len(paths) == 400
    compare(xxs, paths, torch.stack([read(path) for path in paths]), ALIGNED)


@pytest.mark.slow
def test_centre_crop(xxs: EdgeFace, shared_assets: Path) -> None:
    paths = sorted((shared_assets / "faces" / "orl").glob("s*/*.pgm"))
    assert len(paths) == 400
    compare(xxs, paths, torch.stack([read(path)[:, 10:102] for path in paths]), CENTRE_CROP)


def compare(xxs: EdgeFace, paths: list[Path], faces_u8: Tensor, table: Table) -> None:
    images = image_files(f"{path.parent.name}_{path.name}" for path in paths)
    gallery = face_set(embed(xxs, enlarge_bicubic(faces_u8), CPU), images)
    found: Table = {}
    for size in table:
        vlr_u8 = faces_u8 if size is None else resize_bicubic(faces_u8, size)
        recognition = measure(face_set(embed(xxs, enlarge_bicubic(vlr_u8), CPU), images), gallery).recognition
        rates = recognition.auc, recognition.tar_at_far_1_percent, recognition.tar_at_far_01_percent, recognition.rank1
        found[size] = tuple(-1.0 if rate is None else rate for rate in rates)  # type: ignore[assignment]
        assert (recognition.genuine_pairs, recognition.impostor_pairs) == (3600, 156_000)
    for size, published in table.items():
        print(size or "HR", "published", published, "found", tuple(round(rate, 4) for rate in found[size]))
        assert found[size] == pytest.approx(published, abs=TOLERANCE)
