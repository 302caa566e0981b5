"""Whole trainings by CUDA graphs on a pretended GPU learn what the CPU learns."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.finetune.events import EpochFinished, StateSaved, StepChosen, TrainingEvent, Warned
from tests.pretended_gpu import pretended_gpu
from tests.unit.training.support import write_training
from tests.unit.training.test_recommended import CONFIG as RECOMMENDED
from tests.unit.training.test_resume import resumed
from worker.training.loop.compiled_backbone import cache_of
from worker.training.models.edgeface import load_edgeface
from worker.training.runtime.control import Control
from worker.training.runtime.device import FLOAT32

from .support import computed_as_on_a_gpu, losses, of_type, train

pytestmark = pytest.mark.slow

# 16 faces in batches of 6 are 6, 6 and 4: two graphs in each stage.
STEPS, GRAPHS, REPLAYS_OF_CHECK = 3, 2, 3
CHECKED = GRAPHS * REPLAYS_OF_CHECK
EPOCHS: dict[str, object] = {"batch_size": 6, "stage1_epochs": 1, "stage2_epochs": 3}
GUIDE = EPOCHS


@pytest.fixture(autouse=True)
def same_bits() -> Iterator[None]:
    with computed_as_on_a_gpu():
        yield


def ways(events: list[TrainingEvent]) -> list[tuple[int, str]]:
    return [(event.stage, event.way) for event in of_type(events, StepChosen)]


def not_used(events: list[TrainingEvent]) -> int:
    return sum(event.warning.code == "graph_not_used" for event in of_type(events, Warned))


@pytest.mark.parametrize("recipe", [GUIDE, {**RECOMMENDED, **EPOCHS}], ids=["guide", "recommended"])
def test_both_stages_by_graphs_learn_what_the_cpu_learns(tmp_path: Path, recipe: dict[str, object]) -> None:
    files = write_training(tmp_path)
    on_cpu = train(replace(files, output_dir=tmp_path / "cpu"), "cpu", recipe)
    assert ways(on_cpu) == []
    with pretended_gpu() as gpu:
        by_graphs = train(files, "cuda", recipe)
    assert losses(by_graphs) == losses(on_cpu)
    assert len({epoch.backbone_lr for epoch in of_type(by_graphs, EpochFinished)}) == 4, "the rates move"
    assert ways(by_graphs) == [(1, "graph"), (2, "graph")]
    assert not_used(by_graphs) == 0
    assert gpu.replays == (STEPS + CHECKED) + (3 * STEPS + 2 * CHECKED)

    saved = next(state for state in of_type(by_graphs, StateSaved) if (state.stage, state.epoch) == (2, 1))
    with pretended_gpu() as gpu:
        rest = train(resumed(files, saved, 1), "cuda", recipe)
    assert losses(rest) == losses(by_graphs)[2:]
    assert ways(rest) == [(2, "graph")]
    assert gpu.replays == 2 * STEPS + 2 * CHECKED


def test_wrong_replays_are_not_used_and_the_same_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = write_training(tmp_path)
    on_cpu = train(replace(files, output_dir=tmp_path / "cpu"), "cpu", GUIDE)
    with pretended_gpu(), monkeypatch.context() as patch:
        patch.setattr(torch.cuda.CUDAGraph, "replay", lambda _: None)
        eagerly = train(files, "cuda", GUIDE)
    assert losses(eagerly) == losses(on_cpu)
    assert ways(eagerly) == [(1, "eager"), (2, "eager")]
    assert not_used(eagerly) == 2


@pytest.mark.filterwarnings("ignore")  # of a compiler that meets a pretended GPU
def test_a_compiler_that_fails_costs_nothing_but_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pretended GPU cannot run what is compiled; the cache is warm and it pays, so that the compiler is asked."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")
    files = replace(write_training(tmp_path), compiled_dir=tmp_path / "compiled")
    assert files.compiled_dir is not None
    on_cpu = train(replace(files, output_dir=tmp_path / "cpu"), "cpu", GUIDE)
    with pretended_gpu():
        gpu = torch.device("cuda", 0)
        cache = cache_of(files.compiled_dir, load_edgeface(files.edgeface, gpu)[0], gpu, FLOAT32, 6)
        cache.mark_whole(0.0, Control())
        by_graphs = train(files, "cuda", GUIDE)
    assert losses(by_graphs) == losses(on_cpu)
    assert ways(by_graphs) == [(1, "graph"), (2, "graph")]
    assert not_used(by_graphs) == 0
    assert [event.warning.code for event in of_type(by_graphs, Warned)].count("compiled_not_used") == 1
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(cache.folder)
