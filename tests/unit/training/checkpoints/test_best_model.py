"""What is handed out: whole files that anybody's PyTorch loads."""

import hashlib
from pathlib import Path

import pytest
import timm
import torch

from tests.unit.training.support import tiny_config
from worker.training.checkpoints.best_model import Checkpoints, Provenance
from worker.training.models.edgeface import EdgeFace, load_edgeface, new_edgeface
from worker.training.objectives.classifier import CosineClassifier
from worker.training.runtime.control import Control


@pytest.fixture
def backbone() -> EdgeFace:
    return new_edgeface("edgeface_xxs", seed=0)


@pytest.fixture
def head() -> CosineClassifier:
    return CosineClassifier(512, 3, 64.0, torch.Generator().manual_seed(0))


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    provenance = Provenance(tiny_config(), {"a": 0, "b": 1, "c": 2}, "edgeface_xxs", "bicubic", "a resampler")
    return Checkpoints(tmp_path / "output", provenance, Control())


def test_plain_pytorch_loads_it_strictly(checkpoints: Checkpoints, backbone: EdgeFace, head: CosineClassifier) -> None:
    full, bare = checkpoints.snapshot(backbone, head, epoch=7, val_acc=0.5, val_auc=0.75)().values()
    content = torch.load(full.path, weights_only=True)
    assert list(content) == [
        "backbone_state_dict",
        "arcface_state_dict",
        "subject_to_id",
        "epoch",
        "val_acc",
        "val_auc",
        "config",
        "format_version",
        "variant",
        "preprocessing",
    ]
    assert content["subject_to_id"] == {"a": 0, "b": 1, "c": 2}
    assert (content["epoch"], content["val_acc"], content["format_version"]) == (7, 0.5, 1)
    assert content["config"] == tiny_config().model_dump(mode="json")
    assert torch.equal(content["arcface_state_dict"]["weight"], head.weight)
    fresh = timm.create_model("edgenext_xx_small", num_classes=512)
    for tensors in (content["backbone_state_dict"], torch.load(bare.path, weights_only=True)):
        fresh.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items()}, strict=True)
        assert torch.equal(fresh.state_dict()["head.fc.weight"], backbone.state_dict()["model.head.fc.weight"])
    assert load_edgeface(full.path)[1] == load_edgeface(bare.path)[1]


def test_what_is_written_is_what_is_reported(
    checkpoints: Checkpoints, backbone: EdgeFace, head: CosineClassifier
) -> None:
    for written in checkpoints.snapshot(backbone, head, epoch=1, val_acc=None, val_auc=0.5)().values():
        content = written.path.read_bytes()
        assert (written.size, written.sha256) == (len(content), hashlib.sha256(content).hexdigest())


@torch.no_grad()
def test_a_snapshot_stays_as_it_was_taken_while_the_training_goes_on(
    checkpoints: Checkpoints, backbone: EdgeFace, head: CosineClassifier
) -> None:
    write = checkpoints.snapshot(backbone, head, epoch=1, val_acc=None, val_auc=0.5)
    taken = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    for parameter in (*backbone.parameters(), *head.parameters()):
        parameter.add_(1)
    full, bare = write().values()
    for written in (torch.load(full.path)["backbone_state_dict"], torch.load(bare.path)):
        assert all(torch.equal(written[name], tensor) for name, tensor in taken.items())


def test_every_checkpoint_stays_until_somebody_else_removes_it(
    checkpoints: Checkpoints, backbone: EdgeFace, head: CosineClassifier, tmp_path: Path
) -> None:
    for epoch in (1, 4, 12):
        checkpoints.snapshot(backbone, head, epoch=epoch, val_acc=0.5, val_auc=0.5)()
    folders = sorted(path.name for path in (tmp_path / "output").iterdir())
    assert folders == ["best-epoch-001", "best-epoch-004", "best-epoch-012"]
