"""A whole job of the guide's size on drawn faces: seconds by phase, from the files to the evaluation's report."""

import itertools
import os
import time
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import torch
from PIL import Image

from app.drawn_faces import draw_face
from app.finetune.events import (
    EpochFinished,
    PhaseStarted,
    RecognitionMeasured,
    TrainingEvent,
    Warned,
)
from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.trainings import is_evaluated
from benchmarks.training.data import VLR_SIZE, Inputs, config, pixel_repeating_dsr, weights_of
from worker.training.finetune import finetune
from worker.training.runtime.control import Control

_STOP_SECONDS = 4.0


def run(check: Check) -> None:
    check.section(train_a_whole_job)


def train_a_whole_job(check: Check) -> None:
    subjects, train_images, val_images = (100, 85, 21) if check.is_gpu else (3, 4, 2)
    epochs = (5, 20) if check.is_gpu else (1, 2)
    settings = config(stage1_epochs=epochs[0], stage2_epochs=epochs[1]).model_copy(
        update={"allowed_leaks": ("*",), "device": str(check.device), "num_workers": len(os.sched_getaffinity(0))}
    )
    inputs = _draw_inputs(check, Inputs(check.folder, settings), subjects, train_images, val_images)
    events, control = _Events(check), Control()
    events.control = control
    finetune(settings, inputs.files(check.folder / "job"), events, control)
    events.record()


class _Events:
    """The events of the job with their times. The job stops where the time of the group is up."""

    def __init__(self, check: Check) -> None:
        self.control = Control()
        self._check = check
        self._started = time.perf_counter()
        self._events: list[tuple[float, TrainingEvent]] = []

    def __call__(self, event: TrainingEvent) -> None:
        self._events.append((time.perf_counter() - self._started, event))
        if self._check.left < _STOP_SECONDS:
            self.control.stop.set()

    def record(self) -> None:
        check, ended = self._check, self._events[-1][0]
        finished = is_evaluated(self._events[-1][1])
        check.require("the whole job with its evaluation", finished, ended, "s")
        for at, event in self._events:
            if isinstance(event, RecognitionMeasured) and event.when == "after":
                check.note("to the best checkpoint, measured", at, "s")
        phases = [(at, event.phase) for at, event in self._events if isinstance(event, PhaseStarted)]
        for (start, phase), (end, _) in itertools.pairwise([*phases, (ended, "")]):
            check.note(f"phase {phase}", end - start, "s")
        epochs = [event for _, event in self._events if isinstance(event, EpochFinished) and event.stage == 2]
        rates = [event.images_per_second for event in epochs[1:]]
        check.measured("stage 2", rates, "images/s")
        check.note("an epoch of stage 2 with its validation", median(event.seconds for event in epochs[1:]), "s")
        check.note("train loss of the last epoch", epochs[-1].train_loss)
        for _, event in self._events:
            if isinstance(event, Warned):
                check.note(f"warning {event.warning.code}", event.warning.message[:160])


def _draw_inputs(check: Check, inputs: Inputs, subjects: int, train_images: int, val_images: int) -> Inputs:
    for split in ("train", "val"):
        for kind in ("vlr_images", "hr_images"):
            (inputs.folder / split / kind).mkdir(parents=True)
    started = time.perf_counter()
    faces = [
        (inputs.folder / ("train" if image < train_images else "val"), subject, image)
        for subject in range(subjects)
        for image in range(train_images + val_images)
    ]
    with get_context("fork").Pool(check.pick(len(os.sched_getaffinity(0)), 1)) as pool:  # CUDA has not begun here
        pool.starmap(_draw, faces, chunksize=32)
    print(f"   {len(faces)} faces drawn in {time.perf_counter() - started:.1f} s", flush=True)
    torch.save(weights_of(check.assets), inputs.folder / "edgeface.pt")
    torch.save(pixel_repeating_dsr().state_dict(), inputs.folder / "dsr.pth")
    return inputs


def _draw(split: Path, subject: int, image: int) -> None:
    face, name = draw_face(subject, image), f"{subject:04}_{image:03}.png"
    face.save(split / "hr_images" / name, compress_level=1)
    small = face.resize((VLR_SIZE, VLR_SIZE), Image.Resampling.BICUBIC)
    small.save(split / "vlr_images" / name, compress_level=1)
