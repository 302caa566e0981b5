"""What a GPU computes beside the CPU in float32: losses, gradients, embeddings; and what the host waits for."""

import warnings
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F

from app.finetune.events import StepWay
from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.trainings import Training, distance, hold_training, in_words, worst_ratio, write_faces
from benchmarks.training.data import Inputs
from worker.training.models.edgeface import load_edgeface
from worker.training.models.embedding import embed
from worker.training.runtime.device import choose_device

# Of each precision, the most that losses of the first steps and gradients may be off those of a CPU in float32.
_LIMITS = {"off": (1e-3, 1e-3), "bf16": (2e-2, 5e-2), "fp16": (5e-3, 1e-2)}
_WAYS: dict[StepWay, bool] = {"eager": False, "graph": True}
_EMBEDDING_LIMIT = 1e-4
_STEPS_BEFORE = 2
_STEPS_WITHOUT_WAITS = 4


def run(check: Check) -> None:
    inputs = write_faces(check, subjects=check.pick(24, 4), train_images=check.pick(8, 3))

    def against_the_cpu(check: Check) -> None:
        compare_with_cpu(check, inputs)

    def embeddings_of_validation(check: Check) -> None:
        compare_embeddings(check, inputs)

    def waits(check: Check) -> None:
        count_waits(check, inputs)

    check.section(against_the_cpu)
    check.section(embeddings_of_validation)
    if check.device.type == "cuda":
        check.section(waits)


def compare_with_cpu(check: Check, inputs: Inputs) -> None:
    wanted = hold_training(inputs, device="cpu", mixed_precision="off").gradients()
    losses = hold_training(inputs, device="cpu", mixed_precision="off").losses()
    check.note("CPU float32: losses", in_words(losses))
    for precision, (loss_limit, gradient_limit) in _LIMITS.items():
        if precision == "fp16" and check.device.type == "cpu":
            continue
        for way, graphs in _WAYS.items():
            if graphs and (precision == "fp16" or check.device.type == "cpu"):
                continue
            training = hold_training(inputs, graphs=graphs, mixed_precision=precision)
            gradients = training.gradients()
            name = training.require_way(check, way, "gradient")
            check.at_most(f"{name}: error of the gradient", distance(gradients, wanted), gradient_limit)
            training = hold_training(inputs, graphs=graphs, mixed_precision=precision)
            found, skipped = training.losses(), training.skipped
            name = training.require_way(check, way, "losses")
            check.note(f"{name}: losses", in_words(found))
            if skipped:  # as fp16 does where a gradient overflows: the later losses are those of other weights
                check.note(f"{name}: skipped steps", skipped)
            comparable = 1 if skipped else len(losses)
            worst = worst_ratio(found[:comparable], losses[:comparable])
            check.at_most(f"{name}: worst error of {comparable} losses", worst, loss_limit)


def compare_embeddings(check: Check, inputs: Inputs) -> None:
    """Every validation is IEEE float32, whatever the training."""
    device = choose_device(str(check.device))
    faces_u8_NCHW = hold_training(inputs, device="cpu").context.val.gallery_u8_GCHW
    weights, cpu = inputs.folder / "edgeface.pt", torch.device("cpu")
    wanted = embed(load_edgeface(weights)[0], faces_u8_NCHW, cpu)
    found = embed(load_edgeface(weights, device)[0], faces_u8_NCHW, device).cpu()
    check.at_most("embeddings of validation: error", distance([found], [wanted]), _EMBEDDING_LIMIT)
    worst = float((1 - F.cosine_similarity(found.double(), wanted.double())).max())
    check.at_most("embeddings of validation: worst 1 - cosine", worst, 1e-6)


def count_waits(check: Check, inputs: Inputs) -> None:
    """The host must not wait for the GPU in a step."""
    ways: dict[str, StepWay] = {"bf16": "graph", "fp16": "eager"}
    for precision, way in ways.items():
        training = hold_training(inputs, repeats=2, mixed_precision=precision)
        found = _waits_of(training, _PretendedWaits() if check.mode == "pretend" else _SyncWarnings())
        name = training.require_way(check, way, "steps without waits")
        check.require(f"{name}: waits in {_STEPS_WITHOUT_WAITS} steps", not found, "; ".join(found) or "0")


class _Waits(Protocol):
    """Notes what the host waits for, as file:line, from `begin` to `end`."""

    def begin(self) -> None: ...

    def end(self) -> list[str]: ...


def _waits_of(training: Training, waits: _Waits) -> list[str]:
    """In the steps after the first few."""
    steps, found = 0, list[str]()

    def after_step() -> None:
        nonlocal steps
        steps += 1
        if steps == _STEPS_BEFORE:
            waits.begin()
        elif steps == _STEPS_BEFORE + _STEPS_WITHOUT_WAITS:
            found.extend(waits.end())

    training.context.step_listeners.append(after_step)
    training.train_epoch()
    assert steps >= _STEPS_BEFORE + _STEPS_WITHOUT_WAITS
    return found


class _SyncWarnings:
    """What `torch.cuda.set_sync_debug_mode` warns of."""

    def __init__(self) -> None:
        self._catch = warnings.catch_warnings(record=True)

    def begin(self) -> None:
        self._caught = self._catch.__enter__()
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")

    def end(self) -> list[str]:
        torch.cuda.set_sync_debug_mode("default")
        self._catch.__exit__(None, None, None)
        return sorted({f"{Path(each.filename).name}:{each.lineno}" for each in self._caught or []})


class _PretendedWaits:
    """What the pretended GPU counts."""

    def __init__(self) -> None:
        from tests.pretended_gpu.state import active

        self._gpu = active()

    def begin(self) -> None:
        self._before = self._gpu.waits.copy()

    def end(self) -> list[str]:
        return sorted(self._gpu.waits - self._before)
