"""The same step with its backbone by torch.compile: in a process that finds no cache, then in one that does."""

import os
import time
from functools import partial
from typing import cast

import torch

from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.trainings import distance, gradients_of, hold_training, write_faces
from worker.training.data.loader import augmented
from worker.training.loop.graphed_step import GraphedStep
from worker.training.loop.step import ForwardBackward
from worker.training.models.edgeface import EdgeFace
from worker.training.models.embedding import embed_faces

_LIMIT = 2e-2


def cold(check: Check) -> None:
    compare(check, "cold")


def cached(check: Check) -> None:
    compare(check, "from the cache")


def compare(check: Check, name: str) -> None:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(check.kept / "inductor")

    def compiled_step(check: Check) -> None:
        time_compiled(check, name)

    check.section(compiled_step)


def time_compiled(check: Check, name: str) -> None:
    """Without a GPU the backbone is traced, and nothing is compiled."""
    inputs = write_faces(check, subjects=check.pick(24, 4), train_images=check.pick(8, 4))
    training = hold_training(inputs, mixed_precision="bf16")
    context, state = training.context, training.state
    batch = training.first_batch()

    def forward_backward_by(backbone: EdgeFace) -> ForwardBackward:
        model = partial(embed_faces, backbone, precision=state.precision(context))
        return ForwardBackward(
            model, state.objectives[2], state.optimizers, state.micro_batch_size, transform=augmented
        )

    eager = forward_backward_by(state.backbone)
    backend = "inductor" if check.is_gpu else "eager"
    network = cast("EdgeFace", torch.compile(state.backbone, dynamic=False, fullgraph=True, backend=backend))
    compiled = forward_backward_by(network)
    wanted = gradients_of(state.optimizers, eager, batch)
    started = time.perf_counter()
    found = gradients_of(state.optimizers, compiled, batch)
    check.note(f"bf16, {name}: the first step, which compiles", time.perf_counter() - started, "s")
    check.at_most(f"bf16, {name}: gradient's distance to the eager one's", distance(found, wanted), _LIMIT)
    calls, blocks = check.pick(20, 1), check.pick(7, 2)
    for kind, forward_backward in (("eager", eager), ("compiled", compiled)):
        seconds = check.time_launched(partial(forward_backward.gradients, batch), calls, blocks)
        check.measured(f"bf16, {name}: forward and backward, {kind}", [1000 * each for each in seconds], "ms")
        if check.device.type == "cuda":
            graph = GraphedStep(forward_backward.gradients, state.optimizers.parameters, batch, None, context.captures)
            checked = graph.check(batch)
            check.require(f"bf16, {name}: {kind} graph's distance", checked.is_right, checked.replayed)
            seconds = check.time_launched(partial(graph, batch), calls, blocks)
            check.measured(f"bf16, {name}: forward and backward, {kind} graph", [1000 * each for each in seconds], "ms")
