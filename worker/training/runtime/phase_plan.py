"""The phases of each kind of run, with their costs before anything was measured.

Seconds are by rough constants for a machine. They weigh the phases in the progress bar and give the first ETA, until
the paces are measured.
"""

import os
from dataclasses import dataclass
from typing import Self

from app.finetune.config import BICUBIC, FACES_OF_EACH, FinetuneConfig
from app.finetune.dataset import DatasetScan
from app.finetune.events import Phase, Stage
from worker.training.runtime.cost_model import (
    BICUBIC_WORK,
    DSR_WORK,
    FORWARD_WORK,
    SYNTHESIS_WORK,
    validations_left,
    work_of_a_face,
)
from worker.training.runtime.time_left import PhaseCost, Plan

READ_WORK = 0.5
"""To read, hash and decode an image."""

ALIGNMENT_WORK = 1.5
"""To find a face and its landmarks."""

_CPU_FORWARD_SECONDS = 0.008
_GPU_FORWARD_SECONDS = 0.0003
"""A forward pass of EdgeFace-XXS on one core, and in a batch on a GPU."""

_XXS_PARAMETERS = 1_244_744
_ROW_SECONDS = 0.4
"""To compare one kind of probes with one gallery, with the bootstrap."""

_LOAD_SECONDS = 0.5
_WRITE_SECONDS = 1.0
_LEAST_SECONDS = 0.01


@dataclass(frozen=True)
class Pace:
    """Seconds of a forward pass by the network, and of as much other work, which the CPU does."""

    network: float
    cpu: float

    @classmethod
    def of(cls, device: str, parameters: int = _XXS_PARAMETERS) -> Self:
        """By the type of the device and the size of the backbone."""
        cpu = _CPU_FORWARD_SECONDS / (os.cpu_count() or 1)
        size = max(1.0, parameters / _XXS_PARAMETERS) ** 0.7
        return cls((_GPU_FORWARD_SECONDS if device == "cuda" else cpu) * size, cpu)

    def by_network(self, work: float) -> PhaseCost:
        return _cost(work, work * self.network)

    def by_cpu(self, work: float) -> PhaseCost:
        return _cost(work, work * self.cpu)


def plan_finetuning(
    config: FinetuneConfig, scan: DatasetScan, pace: Pace, *, resumed: Stage | None, compares: bool
) -> Plan:
    """`resumed` is the stage of the saved state that the run resumes from, None for a new run. `compares` tells whether
    it looks for people under two names."""
    with_dsr = config.dsr != BICUBIC
    train, probes, gallery = len(scan.train.vlr_images), len(scan.val.vlr_images), len(scan.val.hr_images)
    enlarged = (train + probes) * (DSR_WORK if with_dsr else BICUBIC_WORK) + gallery * BICUBIC_WORK
    val, train_hr = (probes + gallery) * FORWARD_WORK, len(scan.train.hr_images)
    epochs1, epochs2 = config.stage1_epochs, config.stage2_epochs
    stage2 = epochs2 * train * work_of_a_face(2, config) + validations_left(0, epochs2, config.val_interval) * val
    plan: dict[Phase, PhaseCost] = {
        "checking": _reading(train + probes + gallery + train_hr, pace),
        "preparing": pace.by_network(enlarged) if with_dsr else pace.by_cpu(enlarged),
    }
    if resumed != 2:
        plan["measuring"] = pace.by_network(val)
    if compares:
        plan["comparing"] = pace.by_network((train_hr or train) * FORWARD_WORK)
    if config.synthetic_identities:
        plan["teacher_targets"] = pace.by_network(_teacher_work(config, train))
    if epochs1 and resumed != 2:
        plan["stage_1"] = pace.by_network(epochs1 * train * FORWARD_WORK)
    plan["stage_2"] = pace.by_network(stage2)
    plan["evaluating"] = _cost(val + EVALUATION_WORK, val * pace.network + evaluation_seconds(probes, gallery, 2, pace))
    return plan | {"writing": _cost(1.0, _WRITE_SECONDS)}


EVALUATION_WORK = 100.0
"""The whole evaluation, whose share of its phase is that of its seconds."""


def plan_evaluation(probes: int, gallery: int, backbones: int, pace: Pace) -> Plan:
    """For so many VLR and HR images."""
    seconds = evaluation_seconds(probes, gallery, backbones, pace)
    return {
        "checking": _cost(1.0, _LOAD_SECONDS),
        "evaluating": _cost(EVALUATION_WORK, seconds),
        "writing": _cost(1.0, _WRITE_SECONDS),
    }


def evaluation_seconds(probes: int, gallery: int, backbones: int, pace: Pace) -> float:
    """To read all images, embed them by so many backbones, and compare them, roughly."""
    read = (probes + gallery) * READ_WORK * pace.cpu
    embedded = backbones * (2 * probes + gallery) * FORWARD_WORK * pace.network
    return read + embedded + backbones * 5 * _ROW_SECONDS


def plan_dataset_check(images: int, hr_images: int, measured: int, judged: int, pace: Pace) -> Plan:
    """For so many images, of which the alignment of `measured` and the names of `judged` are looked at."""
    aligned, embedded = measured * ALIGNMENT_WORK, judged * FORWARD_WORK
    return {
        "checking": pace.by_cpu(images * READ_WORK),
        "preparing": pace.by_cpu(hr_images * BICUBIC_WORK),
        "judging": _cost(aligned + embedded, aligned * pace.cpu + embedded * pace.network),
    }


def plan_dry_run(config: FinetuneConfig, scan: DatasetScan, pace: Pace, *, sampled: int, tried: int) -> Plan:
    """Of a dry run that enlarges `sampled` images and trains with `tried` faces in each stage."""
    images = len(scan.train.vlr_images) + len(scan.val.vlr_images) + len(scan.val.hr_images)
    enlarged = sampled * (BICUBIC_WORK if config.dsr == BICUBIC else DSR_WORK)
    steps = tried * (work_of_a_face(2, config) + (work_of_a_face(1, config) if config.stage1_epochs else 0.0))
    return {
        "checking": _reading(images, pace),
        "preparing": pace.by_network(enlarged),
        "trying": _cost(steps, steps * pace.network + 10 * _ROW_SECONDS),
    }


def plan_dsr_training(images: int, val: int, sizes: int, pace: Pace, *, training: float, compares: bool) -> Plan:
    """`images` are those of train and val, `val` those of val, which are reduced to so many sizes. `training` is the
    work of all epochs."""
    probes = val * sizes
    plan: dict[Phase, PhaseCost] = {
        "checking": _reading(images, pace),
        "preparing": pace.by_cpu(images * BICUBIC_WORK),
        "teacher_targets": pace.by_network(2 * (images - val) + 2 * val),
    }
    if compares:
        plan["comparing"] = pace.by_cpu(images * BICUBIC_WORK)
    return plan | {
        "measuring": pace.by_network(2 * probes * FORWARD_WORK),
        "stage_0": pace.by_network(training),
        "evaluating": _cost(probes * FORWARD_WORK, probes * pace.network + 3 * sizes * _ROW_SECONDS),
    }


def _reading(images: int, pace: Pace) -> PhaseCost:
    return _cost(images * READ_WORK, _LOAD_SECONDS + images * READ_WORK * pace.cpu)


def _teacher_work(config: FinetuneConfig, train: int) -> float:
    """To make the synthetic identities, and to embed them and so many HR images by the teacher."""
    synthetic = config.synthetic_identities * FACES_OF_EACH
    return train * FORWARD_WORK + synthetic * (SYNTHESIS_WORK + FORWARD_WORK)


def _cost(work: float, seconds: float) -> PhaseCost:
    return PhaseCost(max(work, 1.0), max(seconds, _LEAST_SECONDS))
