"""The choice of a compiled backbone: when it pays, which cache it has, whether that is whole, and what it computes."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from app.finetune.artifact_names import COMPILED_MARKER
from tests.pretended_gpu import pretended_gpu
from tests.unit.training.support import tiny_config, write_untrained
from worker.cli.compile_backbone import compile_backbone
from worker.training.data.loader import Batch
from worker.training.loop import compiled_backbone
from worker.training.loop.compiled_backbone import CompilerCache, Compiling, cache_of, pays
from worker.training.loop.graphed_step import Gradients
from worker.training.models.edgeface import EdgeFace, new_edgeface
from worker.training.models.layout import lay_out_contiguously
from worker.training.objectives.objective import Loss
from worker.training.runtime.control import Control
from worker.training.runtime.device import FLOAT32, Precision

BF16 = Precision("bf16", torch.bfloat16, scaled=False)
CPU = torch.device("cpu")
BATCH = Batch(torch.zeros(6, 1), torch.zeros(6))

steps, seconds = st.integers(0, 10**7), st.floats(0, 1e4)


@given(steps=steps, more=steps, load=seconds, longer=seconds)
def test_more_steps_never_speak_against_a_compiled_backbone_nor_longer_loading_for_it(
    steps: int, more: int, load: float, longer: float
) -> None:
    assert not pays(0, load)
    assert pays(steps, load) <= pays(steps + more, load)
    assert pays(steps, load + longer) <= pays(steps, load)


def test_ten_seconds_of_loading_pay_in_long_trainings_only() -> None:
    guide = 25 * -(-8500 // 32)
    assert not pays(guide, 10.0)
    assert pays(3 * guide, 10.0)


@pytest.fixture(scope="module")
def backbone() -> EdgeFace:
    return new_edgeface("edgeface_xxs", seed=0)


def folder_of(backbone: EdgeFace, device: torch.device = CPU, precision: Precision = FLOAT32, size: int = 32) -> Path:
    return cache_of(Path("compiled"), backbone, device, precision, size).folder


def test_a_network_that_compiles_to_something_else_has_a_cache_of_its_own(
    backbone: EdgeFace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, trained = folder_of(backbone), new_edgeface("edgeface_xxs", seed=1)
    assert folder_of(trained) == first, "weights are inputs"
    folders = [first, folder_of(backbone, precision=BF16), folder_of(backbone, size=31)]
    folders.append(folder_of(new_edgeface("edgeface_xs_gamma_06", seed=0)))
    lay_out_contiguously(trained)
    folders.append(folder_of(trained))
    with pretended_gpu(2):
        folders += [folder_of(backbone, torch.device("cuda", index)) for index in range(2)]
    with pretended_gpu(capability=(8, 0)):
        folders.append(folder_of(backbone, torch.device("cuda", 0)))
    for package in ("torch", "triton"):
        with monkeypatch.context() as patch:
            patch.setattr("importlib.metadata.version", lambda name, other=package: name == other)
            folders.append(folder_of(backbone))
    changed = tmp_path / "edgeface.py"
    changed.write_text("another network")
    with monkeypatch.context() as patch:
        module = cast("ModuleType", SimpleNamespace(__file__=str(changed)))
        patch.setattr(compiled_backbone, "_SOURCES", (module, *compiled_backbone._SOURCES[1:]))
        folders.append(folder_of(backbone))
    assert len(set(folders)) == len(folders)


@pytest.fixture
def cache(tmp_path: Path) -> CompilerCache:
    cache = CompilerCache(tmp_path / "cache")
    for name in ("fxgraph/code.py", "triton/kernel.cubin", "fxgraph/.lock"):
        (cache.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (cache.folder / name).write_text("compiled")
    cache.mark_whole(7.5, Control())
    return cache


def test_a_cache_is_warm_while_all_that_was_compiled_is_there(cache: CompilerCache) -> None:
    assert cache.load_seconds() == 7.5
    (cache.folder / "fxgraph" / ".lock").unlink()
    assert cache.load_seconds() == 7.5
    (cache.folder / "triton" / "kernel.cubin").unlink()
    assert cache.load_seconds() is None


def test_a_torn_or_foreign_marker_is_not_warm(cache: CompilerCache) -> None:
    marker = cache.folder / COMPILED_MARKER
    whole = marker.read_text()
    others = [whole[:length] for length in range(len(whole))]
    others += ["null", "1", "[]", "{}", '{"files": null, "load_seconds": 1}', '{"files": []}']
    for text in others:
        marker.write_text(text)
        assert cache.load_seconds() is None, text
    marker.write_text(whole)
    cache.forget()
    assert cache.load_seconds() is None


def gradients_of(*found: Tensor) -> Gradients:
    return lambda _: (list(found), Loss(torch.zeros(()), torch.zeros(())))


def compiling(found: Gradients, in_float32: Gradients, folder: Path, steps_left: int = 10**6) -> Compiling:
    return Compiling(found, in_float32, batch_size=6, steps_left=steps_left, cache=lambda: CompilerCache(folder))


@pytest.mark.usefixtures("environment")
@pytest.mark.parametrize(
    ("compiled", "is_right"),
    [
        (lambda exact, noise: exact + noise, True),
        (lambda exact, noise: exact - 1.4 * noise, True),
        (lambda exact, noise: exact + 1.6 * noise, False),
        (lambda exact, _: exact, True),
        (lambda exact, _: -exact, False),
        (lambda exact, _: exact * float("nan"), False),
    ],
)
def test_a_compiled_backbone_may_round_half_as_much_again_as_the_uncompiled_one(
    tmp_path: Path, compiled: Callable[[Tensor, Tensor], Tensor], is_right: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    exact = [torch.randn(size, generator=generator) for size in (1000, 10)]
    noises = [0.03 * torch.randn(size, generator=generator) for size in (1000, 10)]
    found = [compiled(one, noise) for one, noise in zip(exact, noises, strict=True)]
    uncompiled = [one + noise for one, noise in zip(exact, noises, strict=True)]
    comparison = compiling(gradients_of(*found), gradients_of(*exact), tmp_path).compare(
        BATCH, gradients_of(*uncompiled)
    )
    assert comparison.is_right == is_right
    assert comparison.is_finite


@pytest.mark.usefixtures("environment")
def test_one_small_parameter_that_is_wrong_is_seen(tmp_path: Path) -> None:
    exact = [torch.ones(100_000), torch.ones(10)]
    uncompiled = [each * 1.01 for each in exact]
    found = [exact[0], exact[1] * 1.1]
    assert (
        not compiling(gradients_of(*found), gradients_of(*exact), tmp_path)
        .compare(BATCH, gradients_of(*uncompiled))
        .is_right
    )


@pytest.mark.parametrize(
    ("size", "steps_left", "warm", "words"),
    [
        (6, 10**6, True, None),
        (4, 10**6, True, "only batches of 6 are compiled"),
        (6, 10**6, False, "run `edgeface-finetune compile`"),
        (6, 100, True, "it would not pay: 100 steps left, 7.5 s to load"),
    ],
)
def test_the_reason_against_a_compiled_backbone_is_told(
    cache: CompilerCache, size: int, steps_left: int, warm: bool, words: str | None
) -> None:
    if not warm:
        cache.forget()
    why_not = compiling(gradients_of(), gradients_of(), cache.folder, steps_left).why_not(size)
    assert (why_not is None) if words is None else (words in (why_not or ""))


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was, after the test: a cache in use is named there."""
    for name in ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"):
        monkeypatch.setenv(name, "")


@pytest.mark.slow
@pytest.mark.usefixtures("environment")
@pytest.mark.filterwarnings("ignore:Dynamo detected", "ignore:.*should not be instantiated")
@pytest.mark.parametrize("precision", ["off", "bf16"])
def test_a_traced_backbone_computes_the_same_step(tmp_path: Path, precision: str) -> None:
    """By the backend that compiles nothing, whose gradients are those of the uncompiled backbone, bit for bit."""
    weights, config = write_untrained(tmp_path / "weights.pt"), tiny_config(batch_size=2, mixed_precision=precision)
    compiled = compile_backbone(config, weights, tmp_path / "compiled", backend="aot_eager")
    assert compiled.is_right
    found, uncompiled = compiled.differences.split("; without it ")
    for number in uncompiled.split(" and "):
        assert number in found
    assert CompilerCache(compiled.folder).load_seconds() is None
    compiled.mark_whole()
    assert CompilerCache(compiled.folder).load_seconds() == compiled.seconds
