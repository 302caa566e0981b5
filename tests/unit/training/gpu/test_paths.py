"""Every other way through a trainer on a pretended GPU: to the last bit what it is on the CPU."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.finetune.architectures import DsrLayout
from app.finetune.evaluation import Comparison
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import (
    BatchSplit,
    DryRunFinished,
    DsrEpochFinished,
    EnlargementMeasured,
    EvaluationWritten,
    Prepared,
    StateSaved,
    TrainingEvent,
)
from tests.pretended_gpu import pretended_gpu
from tests.unit.training.super_resolution import support as dsr
from tests.unit.training.super_resolution.support import real_faces
from tests.unit.training.support import tiny_config, write_training
from tests.unit.training.test_recommended import CONFIG as RECOMMENDED
from tests.unit.training.test_resume import resumed
from worker.training.estimation.dry_run import dry_run
from worker.training.evaluation.job import run_evaluation
from worker.training.models.dsr import DSR
from worker.training.runtime.control import Control
from worker.training.storage.paths import EvaluationJobFiles, TrainingFiles

from .support import computed_as_on_a_gpu, losses, of_type, train

assert real_faces
pytestmark = pytest.mark.slow
GUIDE: dict[str, object] = {"batch_size": 8, "stage2_epochs": 1}


@pytest.fixture(autouse=True)
def same_bits() -> Iterator[None]:
    with computed_as_on_a_gpu():
        yield


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


def write_dsr(path: Path) -> Path:
    torch.manual_seed(0)
    network = DSR(DsrLayout(channels=4, blocks=1, factors=(7,), prelu_parameters=1))
    torch.save({"model_state_dict": network.state_dict()}, path)
    return path


@pytest.mark.parametrize("by_dsr", [False, True], ids=["bicubic", "DSR"])
@pytest.mark.parametrize("recipe", [GUIDE, RECOMMENDED], ids=["guide", "recommended"])
def test_fine_tuning(files: TrainingFiles, tmp_path: Path, recipe: dict[str, object], by_dsr: bool) -> None:
    if by_dsr:
        files = replace(files, dsr=write_dsr(tmp_path / "dsr.pth"))
    on_cpu = train(files, "cpu", recipe)
    again = replace(files, output_dir=tmp_path / "gpu", prepared_dir=tmp_path / "prepared by the GPU")
    with pretended_gpu() as gpu:
        on_gpu = train(again, "cuda", recipe)
    assert losses(on_gpu) == losses(on_cpu) != []
    assert gpu.peak_bytes > 2**20


def test_a_dry_run(files: TrainingFiles) -> None:
    events: list[TrainingEvent] = []
    with pretended_gpu() as gpu:
        dry_run(tiny_config(device="cuda"), files, events.append, Control())
    (finished,) = of_type(events, DryRunFinished)
    assert finished.device == "cuda:0 (Pretended GPU)"
    assert finished.device_bytes is not None
    assert gpu.peak_bytes <= finished.device_bytes < 2 * gpu.peak_bytes


def test_dsr_training(real_faces: Path, shared_assets: Path, tmp_path: Path) -> None:
    def trained(device: str) -> list[object]:
        weights = shared_assets / "weights" / "edgeface_xxs.pt"
        _, events = dsr.finished(
            dsr.tiny_config(device=device, epochs=1), dsr.files_in(real_faces, weights, tmp_path / device)
        )
        epochs = of_type(events, DsrEpochFinished)
        return [
            *of_type(events, EnlargementMeasured),
            *(epoch.model_copy(update={"seconds": 0.0, "images_per_second": 0.0}) for epoch in epochs),
        ]

    on_cpu = trained("cpu")
    with pretended_gpu() as gpu:
        assert trained("cuda") == on_cpu
    assert len(on_cpu) == 4
    assert gpu.peak_bytes > 2**20


def test_an_evaluation_with_mirrored_faces(files: TrainingFiles, tmp_path: Path) -> None:
    def evaluated(device: str) -> list[Comparison]:
        config = EvaluationConfig(eval_dir="val", device=device, num_workers=0, tta=True)
        job = EvaluationJobFiles(files.val_dir, files.edgeface, output_dir=tmp_path / device)
        written = run_evaluation(config, job, lambda _: None)
        assert isinstance(written, EvaluationWritten)
        return written.evaluation.comparisons

    on_cpu = evaluated("cpu")
    with pretended_gpu() as gpu:
        assert evaluated("cuda") == on_cpu != []
    assert gpu.peak_bytes > 2**20


@pytest.mark.parametrize("first", ["cpu", "cuda"])
def test_a_state_of_each_device_is_resumed_on_each(files: TrainingFiles, first: str) -> None:
    with pretended_gpu():
        whole = train(files, first, GUIDE)
    saved = of_type(whole, StateSaved)[1]
    for attempt, device in enumerate(("cpu", "cuda"), 1):
        with pretended_gpu():
            rest = losses(train(resumed(files, saved, attempt), device, GUIDE))
        assert rest == losses(whole)[-len(rest) :] != []


def test_a_batch_that_does_not_fit_is_divided(files: TrainingFiles, tmp_path: Path) -> None:
    with pretended_gpu() as gpu:
        whole = train(files, "cuda", GUIDE)
    memory = gpu.peak_bytes * 9 // 20  # the check of a graph takes twice the memory of a step
    with pretended_gpu(memory_bytes=memory) as small:
        divided = train(replace(files, output_dir=tmp_path / "divided"), "cuda", GUIDE)
    assert of_type(divided, BatchSplit)
    assert small.peak_bytes <= memory
    assert [each[0] for each in losses(divided)] == pytest.approx([each[0] for each in losses(whole)], rel=1e-3)


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_each_slot_has_a_gpu_of_its_own(files: TrainingFiles, tmp_path: Path, device: str) -> None:
    used = [in_slot(slot, replace(files, output_dir=tmp_path / str(slot)), device) for slot in range(2)]
    assert used == [[True, False], [False, True]]


def in_slot(slot: int, files: TrainingFiles, device: str = "auto") -> list[bool]:
    """Which of two GPUs a training in this slot put tensors on."""
    with pretended_gpu(gpus=2) as gpu:
        events = train(files, device, GUIDE, slot)
    (prepared,) = of_type(events, Prepared)
    assert prepared.device == f"cuda:{slot} (Pretended GPU)"
    return [memory.peak_bytes > 0 for memory in gpu.memories]


def test_a_tensor_on_the_gpu_of_another_slot_is_seen(files: TrainingFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.training.loop.setup.to_device_if_it_fits", lambda data, _: data.to("cuda:0"))
    assert in_slot(1, files) == [True, True]
