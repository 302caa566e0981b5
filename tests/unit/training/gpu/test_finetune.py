"""Fine-tuning on a pretended GPU: to the last bit what it is on the CPU, and no step waits for the GPU."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.finetune.events import TrainingEvent, Warned
from tests.pretended_gpu import PretendedGpu, pretended_gpu
from tests.unit.training.support import write_training
from tests.unit.training.test_recommended import CONFIG as RECOMMENDED
from worker.training.data.augment import flip
from worker.training.data.loader import Batch
from worker.training.loop.step import ForwardBackward
from worker.training.objectives.objective import Loss
from worker.training.storage.paths import TrainingFiles

from .support import computed_as_on_a_gpu, losses, of_type, train

# Epochs of two steps, or of four.
CONFIG: dict[str, object] = {"batch_size": 8, "stage2_epochs": 1}


@dataclass(frozen=True)
class Trained:
    files: TrainingFiles
    events: list[TrainingEvent]
    gpu: PretendedGpu


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    files = write_training(tmp_path_factory.mktemp("gpu"))
    with computed_as_on_a_gpu(), pretended_gpu() as gpu:
        return Trained(files, train(files, "cuda", CONFIG), gpu)


def test_the_losses_are_those_of_the_cpu(trained: Trained, tmp_path: Path) -> None:
    with computed_as_on_a_gpu():
        on_cpu = train(replace(trained.files, output_dir=tmp_path), "cpu", CONFIG)
    assert len(losses(on_cpu)) == 2
    assert losses(trained.events) == losses(on_cpu)
    assert trained.gpu.live_bytes == 0


def test_no_step_waits_for_the_gpu(trained: Trained, tmp_path: Path) -> None:
    """Twice as many steps wait as often, and copy as often from memory that is not pinned."""
    with pretended_gpu() as gpu:
        train(replace(trained.files, output_dir=tmp_path), "cuda", {**CONFIG, "batch_size": 4})
    assert gpu.waits - trained.gpu.waits == {}
    assert gpu.copies - trained.gpu.copies == {}


@pytest.mark.slow
def test_no_step_of_the_recommended_recipe_waits_for_the_gpu(trained: Trained, tmp_path: Path) -> None:
    gpus = []
    for batch_size in (8, 4):
        with pretended_gpu() as gpu:
            config = {**RECOMMENDED, "stage2_epochs": 1, "batch_size": batch_size}
            train(replace(trained.files, output_dir=tmp_path / str(batch_size)), "cuda", config)
        gpus.append(gpu)
    assert gpus[1].waits - gpus[0].waits == {}
    assert gpus[1].copies - gpus[0].copies == {}


Gradients = tuple[tuple[Tensor, ...], Loss]


@pytest.mark.slow
def test_a_wait_in_the_step_is_seen(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute = ForwardBackward._gradients

    def waiting(self: ForwardBackward, images: int, microbatch: Batch) -> Gradients:
        gradients, loss = compute(self, images, microbatch)
        loss.loss.item()
        return gradients, loss

    monkeypatch.setattr(ForwardBackward, "_gradients", waiting)
    with pytest.raises(AssertionError, match="item @ tests/unit/training/gpu/test_finetune"):
        test_no_step_waits_for_the_gpu(trained, tmp_path)


def test_a_mask_on_the_cpu_is_seen(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def masked(x_u8_BCHW: Tensor, flip_B: Tensor) -> Tensor:
        return flip(x_u8_BCHW, flip_B) * torch.ones(len(x_u8_BCHW), 1, 1, 1)

    monkeypatch.setattr("worker.training.data.augment.flip", masked)
    with (
        pretended_gpu(),
        pytest.raises(RuntimeError, match="same device, but found at least two devices, cuda:0 and cpu"),
    ):
        train(replace(trained.files, output_dir=tmp_path), "cuda", {**CONFIG, "stage1_epochs": 0})


@pytest.mark.slow
def test_a_rate_frozen_in_a_graph_is_seen(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the losses, and by the training itself in the second epoch, which has other rates."""
    compute = ForwardBackward._gradients

    def scaled(self: ForwardBackward, images: int, microbatch: Batch) -> Gradients:
        gradients, loss = compute(self, images, microbatch)
        return tuple(gradient * self.optimizers.rates[0] for gradient in gradients), loss

    monkeypatch.setattr(ForwardBackward, "_gradients", scaled)
    config = {**CONFIG, "stage1_epochs": 0, "stage2_epochs": 2}
    with computed_as_on_a_gpu():
        on_cpu = train(replace(trained.files, output_dir=tmp_path / "cpu"), "cpu", config)
        with pretended_gpu() as gpu:
            on_gpu = train(replace(trained.files, output_dir=tmp_path / "gpu"), "cuda", config)
    assert gpu.replays
    assert losses(on_gpu) != losses(on_cpu)
    assert [each.warning.code for each in of_type(on_gpu, Warned)].count("graph_not_used") == 1
