"""Steps of stage 2 by the product's loop, timed; and their kernels."""

import itertools
import time
from collections import Counter
from collections.abc import Iterable

from torch.profiler import ProfilerActivity, profile

from app.finetune.events import StepWay
from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.trainings import PRECISIONS, Training, hold_training, write_faces
from benchmarks.training.data import Inputs

_BEFORE, _PROFILED = 2, 3
_KERNELS_SHOWN = 6


def run(check: Check) -> None:
    inputs = write_faces(check, subjects=check.pick(40, 4), train_images=check.pick(8, 3))

    def eager(check: Check) -> None:
        for precision in PRECISIONS:
            if precision == "fp16" and check.device.type == "cpu":
                continue
            time_steps(check, "eager", hold(check, inputs, precision, graphs=False))

    def graphs(check: Check) -> None:
        for precision in ("bf16", "off"):
            time_steps(check, "graph", hold(check, inputs, precision))

    def kernels(check: Check) -> None:
        for precision in ("bf16", "off"):
            count_kernels(check, "eager", hold(check, inputs, precision, graphs=False))
            if check.device.type == "cuda":
                count_kernels(check, "graph", hold(check, inputs, precision))

    check.section(eager)
    if check.device.type == "cuda":
        check.section(graphs)
    if check.mode != "pretend":
        check.section(kernels)


def hold(check: Check, inputs: Inputs, precision: str, *, graphs: bool = True) -> Training:
    """A training with epochs of 200 steps."""
    return hold_training(inputs, repeats=check.pick(20, 2), graphs=graphs, mixed_precision=precision)


def time_steps(check: Check, wanted: StepWay, training: Training) -> None:
    """Record the time of a step and the rate, by blocks of steps with one wait at the end of each. Steps that were not
    computed the `wanted` way are recorded as what they were, and fail."""
    block, ends = check.pick(20, 2), []

    def after_step() -> None:
        assert training.state.epoch_state is not None
        if (training.state.epoch_state.step + 1) % block == 0:
            check.synchronize()
            ends.append(time.perf_counter())

    training.context.step_listeners.append(after_step)
    training.train_epoch()
    seconds = [(end - start) / block for start, end in itertools.pairwise(ends)]  # the first block warms up
    name, batch = training.require_way(check, wanted, "timed steps"), training.context.config.batch_size
    check.measured(f"{name}: a step", [1000 * each for each in seconds], "ms")
    check.measured(f"{name}: rate", [batch / each for each in seconds], "images/s")


def count_kernels(check: Check, wanted: StepWay, training: Training) -> None:
    """Record how many kernels a step launches and how long they run; on the CPU its operations instead."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if check.is_gpu else [])]
    # PyTorch 2.11 keeps no events without `acc_events`.
    profiler, steps = profile(activities=activities, acc_events=True), 0

    def after_step() -> None:
        nonlocal steps
        steps += 1
        if steps == _BEFORE:
            check.synchronize()
            profiler.start()
        if steps == _BEFORE + _PROFILED:
            check.synchronize()
            profiler.stop()

    training.context.step_listeners.append(after_step)
    training.train_epoch()
    kind = "CUDA" if check.is_gpu else "CPU"
    recorded = profiler.events() or []  # type: ignore[no-untyped-call]
    events = [event for event in recorded if event.device_type.name == kind]
    kernels = Counter(event.name for event in events)
    micros = Counter[str]()
    for event in events:
        micros[event.name] += event.self_device_time_total if check.is_gpu else event.self_cpu_time_total
    name = training.require_way(check, wanted, "profiled steps")
    check.note(f"{name}: kernels in a step", sum(kernels.values()) / _PROFILED)
    check.note(f"{name}: time of these kernels", sum(micros.values()) / 1000 / _PROFILED, "ms")
    _print_longest(kernels, micros.most_common(_KERNELS_SHOWN))


def _print_longest(kernels: Counter[str], longest: Iterable[tuple[str, int]]) -> None:
    for name, micro in longest:
        print(f"        {micro / _PROFILED:9.1f} us, {kernels[name] / _PROFILED:6.1f} times: {name[:90]}", flush=True)
