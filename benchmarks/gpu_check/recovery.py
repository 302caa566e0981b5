"""What a job does when something goes wrong: too little memory, a stop, a new process."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import torch

from app.finetune.config import FinetuneConfig
from app.finetune.events import BatchSplit, EpochFinished, Prepared, StateSaved
from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.trainings import (
    Trained,
    distance,
    in_words,
    is_evaluated,
    train_whole,
    worst_ratio,
    write_faces,
)
from benchmarks.training.data import Inputs
from worker.lease import LeaseClock
from worker.messages import LAST_MESSAGES, Failed, Order
from worker.trainer_process import train
from worker.training.models.edgeface import load_edgeface
from worker.training.runtime.out_of_memory import release_memory
from worker.training.storage.paths import ResumeFrom, TrainingFiles

_MEBIBYTES = (512, 384, 320, 256, 224, 192, 160, 128, 96)
_FEW_MEBIBYTES = (36, 30)
"""Of a GPU and of a pretended one, which counts no workspaces: one after another, until batches are split."""
_WARM_MODULES = ("worker.process.forkserver_signals", "worker.trainer_process", "worker.training.finetune")
"""As worker/tasks.py has them, for this kind of job."""
_SPLIT_LIMIT = 1e-3
_ANSWER_SECONDS = 120.0


def run(check: Check) -> None:
    inputs = write_faces(check, subjects=check.pick(8, 3), train_images=check.pick(8, 4))

    def resume(check: Check) -> None:
        resume_in_the_middle(check, inputs)

    def out_of_memory(check: Check) -> None:
        split_batches(check, inputs)

    def fork_server(check: Check) -> None:
        train_in_forked_processes(check, inputs)

    check.section(fork_server)
    check.section(resume)
    if check.device.type == "cuda":
        check.section(out_of_memory)


def resume_in_the_middle(check: Check, inputs: Inputs) -> None:
    """A resumed training is the uninterrupted one bit for bit, or differs from it no more than a second whole one."""
    whole, again = (train_whole(inputs, name, mixed_precision="auto") for name in ("whole", "again"))
    saved = [event for event in whole.events if isinstance(event, StateSaved)]
    middle = next(event for event in saved if event.stage == 2 and event.epoch == 1)
    resume = ResumeFrom(middle.file.path, middle.best)
    resumed = train_whole(inputs, "resumed", resume=resume, mixed_precision="auto")
    check.note("whole: losses", in_words(whole.losses))
    check.note("resumed after an epoch of stage 2: losses", in_words(resumed.losses))
    between = distance(_weights(again), _weights(whole))
    apart = distance(_weights(resumed), _weights(whole))
    check.require("resumed: distance of its weights to the whole one's", apart <= 2 * between, apart, reference=between)


def split_batches(check: Check, inputs: Inputs) -> None:
    """The allocator's own error: batches are split, and the losses stay."""
    wanted = train_whole(inputs, "with all memory", mixed_precision="off").losses
    for mebibytes in _MEBIBYTES if check.is_gpu else _FEW_MEBIBYTES:
        release_memory()
        with _memory_of(check, mebibytes << 20):
            try:
                found = train_whole(inputs, f"with {mebibytes} MiB", mixed_precision="off")
            except Exception as error:
                check.note(f"with {mebibytes} MiB", f"{type(error).__name__}: {str(error)[:120]}")
                continue
        sizes = [event.micro_batch_size for event in found.events if isinstance(event, BatchSplit)]
        check.note(f"with {mebibytes} MiB: microbatches", ", ".join(map(str, sizes)) or "not split")
        if sizes:
            check.at_most("split batches: worst error of a loss", worst_ratio(found.losses, wanted), _SPLIT_LIMIT)
            return
    check.require("split batches", False, "no size of the memory made a training split its batches")


def train_in_forked_processes(check: Check, inputs: Inputs) -> None:
    """As the worker does it: CUDA begins in a process that a warm server forked. Twice, so that the second finds the
    device as the first left it."""
    processes = get_context("forkserver")  # this process has none yet
    processes.set_forkserver_preload(list(_WARM_MODULES))
    for attempt in (1, 2):
        output = inputs.folder / f"forked-{attempt}"
        settings = inputs.config.model_copy(update={"stage1_epochs": 1, "stage2_epochs": 1, "device": "auto"})
        events = list(_train_forked(processes, check, settings, inputs.files(output)))
        last, prepared = events[-1] if events else None, [each for each in events if isinstance(each, Prepared)]
        ended = last.error.message if isinstance(last, Failed) else type(last).__name__
        wanted = "cuda" if check.is_gpu else "cpu"
        passed = is_evaluated(last) and all(each.device.startswith(wanted) for each in prepared)
        device = prepared[0].device if prepared else "no device"
        check.require(f"trainer from the fork server, attempt {attempt}", passed, f"{ended} on {device}")
        losses = in_words(each.train_loss for each in events if isinstance(each, EpochFinished))
        check.note(f"trainer from the fork server, attempt {attempt}: losses", losses)


def _train_forked(
    processes: ForkServerContext, check: Check, settings: FinetuneConfig, files: TrainingFiles
) -> Iterator[Any]:
    ours, theirs = processes.Pipe()
    order = Order(
        "worker.training.finetune:finetune",
        settings,
        files,
        inputs=(),
        roots=(Path("/"),),
        lease=LeaseClock(processes, 2 * _ANSWER_SECONDS),
        save_every_seconds=60.0,
        reserved=Path(os.devnull).parent / "nothing-reserved",
    )
    process = processes.Process(target=train, args=(theirs, order))
    process.start()
    theirs.close()
    try:
        while ours.poll(min(_ANSWER_SECONDS, max(1.0, check.left))):
            message = ours.recv()
            yield message
            if isinstance(message, LAST_MESSAGES):
                break
    except EOFError:
        return
    finally:
        process.join(5)
        process.kill()


def _weights(trained: Trained) -> list[torch.Tensor]:
    """Of the exported model, on the CPU."""
    last = next(event.best for event in reversed(trained.events) if isinstance(event, StateSaved))
    assert last is not None
    return list(load_edgeface(last.full.path)[0].state_dict().values())


@contextmanager
def _memory_of(check: Check, size: int) -> Iterator[None]:
    """As if the GPU had `size` bytes for this process."""
    if check.mode == "pretend":
        from tests.pretended_gpu.state import active

        memory = active().memories[0]
        before, memory.capacity = memory.capacity, memory.live_bytes + size
        try:
            yield
        finally:
            memory.capacity = before
        return
    total = torch.cuda.mem_get_info(check.device)[1]
    torch.cuda.set_per_process_memory_fraction(min(1.0, size / total), check.device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, check.device)
