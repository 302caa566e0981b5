"""The ONNX file of a backbone: ONNX Runtime loads it and finds what PyTorch finds; one that differs is not written."""

import errno
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torch.nn.functional as F

from app.finetune.model_export import LEAST_COSINE, LICENCE, OPSET, ModelExported
from app.finetune.training_errors import DiskFull, OnnxDiffers
from worker.training.checkpoints.onnx_file import export_onnx
from worker.training.models.edgeface import EdgeFace, load_edgeface, new_edgeface, normalise
from worker.training.models.embedding import embed
from worker.training.runtime.control import Control

FACES = torch.randint(256, (3, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CPU = torch.device("cpu")


def export(
    backbone: EdgeFace, path: Path, e: torch.Tensor | None = None, control: Control | None = None
) -> ModelExported:
    e = embed(backbone, FACES, CPU) if e is None else e
    about = {"job": "j"}
    return export_onnx(
        backbone, FACES, e, path, control or Control(), variant="edgeface_xxs", weights_sha256="0" * 64, about=about
    )


@pytest.mark.parametrize("variant", ["edgeface_xxs", "edgeface_xs_gamma_06"])
def test_onnx_runtime_finds_what_pytorch_finds_in_batches_of_any_size(tmp_path: Path, variant: str) -> None:
    backbone = new_edgeface(variant, seed=0)
    was_training = backbone.train().training
    exported = export(backbone, tmp_path / "edgeface.onnx")
    assert backbone.training is was_training
    assert (exported.faces, exported.opset) == (3, OPSET)
    assert LEAST_COSINE <= exported.worst_cosine <= exported.mean_cosine
    session = onnxruntime.InferenceSession(exported.file.path)
    for batch in (1, 3):
        (found,) = session.run(["embedding"], {"face": normalise(FACES[:batch]).numpy()})
        np.testing.assert_allclose(F.normalize(torch.tensor(found)), embed(backbone, FACES[:batch], CPU), atol=1e-5)
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["job"] == "j"
    assert metadata["variant"] == "edgeface_xxs"
    assert metadata["normalisation"] == "(value / 255 - 0.5) / 0.5"
    assert metadata["licence"] == LICENCE


def test_official_weights_are_exported(shared_assets: Path, tmp_path: Path) -> None:
    backbone, _ = load_edgeface(shared_assets / "weights" / "edgeface_xxs.pt")
    assert export(backbone, tmp_path / "edgeface.onnx").worst_cosine > 1 - 1e-9


def test_a_file_that_differs_is_not_written(tmp_path: Path) -> None:
    other = embed(new_edgeface("edgeface_xxs", seed=1), FACES, CPU)
    with pytest.raises(OnnxDiffers, match="have a cosine of"):
        export(new_edgeface("edgeface_xxs", seed=0), tmp_path / "edgeface.onnx", other)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_part_of_it(tmp_path: Path) -> None:
    def fill_disk() -> None:
        raise OSError(errno.ENOSPC, "full")

    with pytest.raises(DiskFull):
        export(
            new_edgeface("edgeface_xxs", seed=0),
            tmp_path / "edgeface.onnx",
            control=replace(Control(), before_write=fill_disk),
        )
    assert list(tmp_path.iterdir()) == []
