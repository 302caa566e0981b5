"""How far a training is, and when it will be done."""

import time
from collections.abc import Callable
from statistics import median

from app.finetune.config import BICUBIC, FACES_OF_EACH, FinetuneConfig
from app.finetune.dataset import DatasetScan
from app.finetune.events import Progressed, Report, Stage

# What an image costs, in forward passes of EdgeFace-XXS, measured on 2 cores. DSR: 64 channels, 8 blocks, 16 to 160 px.
BICUBIC_WORK = 0.15
DSR_WORK = 10.0
FORWARD_WORK = 1.0
SYNTHESIS_WORK = 3.0
TRAINING_WORK = 3.0

_SECONDS_BETWEEN_REPORTS = 0.5
_ALMOST = 0.999
"""Told until all is done: the last files are written after the last work that is counted."""
_STEADY = 1.25


def work_of_a_face(stage: Stage, config: FinetuneConfig) -> float:
    """What an epoch of a stage costs a face, in forward passes; where views are enlarged by a DSR network, with it."""
    if stage == 1:
        return FORWARD_WORK
    if not config.synthetic_identities:
        return TRAINING_WORK
    reduced = 1 - config.vlr_share - config.hr_share
    return TRAINING_WORK + reduced * (BICUBIC_WORK if config.dsr == BICUBIC else DSR_WORK)


def teacher_work(config: FinetuneConfig, train: int) -> float:
    """What it costs to invent people from so many HR images, and to ask the teacher about all of them."""
    if not config.synthetic_identities:
        return 0.0
    invented = config.synthetic_identities * FACES_OF_EACH
    return train * (BICUBIC_WORK + FORWARD_WORK) + invented * (SYNTHESIS_WORK + FORWARD_WORK)


def total_work(config: FinetuneConfig, scan: DatasetScan, *, with_dsr: bool) -> float:
    """What a whole training costs, in forward passes, if it does not stop early."""
    train, probes, gallery = len(scan.train.vlr_images), len(scan.val.vlr_images), len(scan.val.hr_images)
    preparing = (train + probes) * (DSR_WORK if with_dsr else BICUBIC_WORK) + gallery * BICUBIC_WORK
    training = train * (
        config.stage1_epochs * work_of_a_face(1, config) + config.stage2_epochs * work_of_a_face(2, config)
    )
    preparing += teacher_work(config, train)
    validations = -(-config.stage2_epochs // config.val_interval) + 1  # and one before
    validating = validations * (probes + gallery) * FORWARD_WORK
    return preparing + training + validating + work_after_training(scan, with_dsr=with_dsr)


def work_after_training(scan: DatasetScan, *, with_dsr: bool) -> float:
    """What measuring the best checkpoint and the evaluation cost, in forward passes."""
    faces = len(scan.val.vlr_images) + len(scan.val.hr_images)
    return faces * FORWARD_WORK + evaluation_work(scan, with_dsr=with_dsr)


def evaluation_work(scan: DatasetScan, *, with_dsr: bool) -> float:
    """What evaluating val before and after costs, in forward passes: of the enlargements that did not train."""
    return 2 * (2 if with_dsr else 1) * len(scan.val.vlr_images) * FORWARD_WORK


class Progress:
    """Turns work done into `Progressed` events: at most two a second, progress never falling, whatever is done again.

    `total_work` is an estimate in forward passes; early stopping makes it too high. `told` is the progress, in 0..1,
    that was told before this process began. The ETA is None until the last two whole epochs of stage 2, or of a DSR
    network, took alike (within 25 %), since only then is the past a fair guess of the future. `work_after` is what of
    the work comes after the training.
    """

    def __init__(
        self,
        total_work: float,
        report: Report,
        now: Callable[[], float] = time.monotonic,
        *,
        told: float = 0.0,
        work_after: float = 0.0,
    ) -> None:
        self.work_done = 0.0
        self._total_work = total_work
        self._work_after = work_after
        self._seconds_after: float | None = None
        self._trained_at: float | None = None
        self._report = report
        self._now = now
        self._told = told
        self._stage: Stage | None = None
        self._epoch: int | None = None
        self._step: int | None = None
        self._steps_done = 0
        self._reported_at = float("-inf")
        self._epoch_started_at = 0.0
        self._epoch_began_with = 0.0
        self._epoch_work = 0.0
        self._epoch_is_whole = False
        self._epoch_seconds: list[float] = []
        self._epochs_left = 0

    @property
    def share(self) -> float:
        """The work done in 0..1, which may be less than was told."""
        return min(self.work_done / self._total_work, 1.0)

    def go_back(self, work_done: float) -> None:
        """To where a saved state was; what was told stays told."""
        self.work_done = work_done

    def start_epoch(self, stage: Stage, epoch: int, epochs: int, *, step: int = 0, steps_done: int = 0) -> None:
        """`step` optimizer steps of it are done already, `steps_done` of the whole training."""
        self._stage, self._epoch, self._step, self._steps_done = stage, epoch, step, steps_done
        self._epoch_started_at, self._epoch_began_with = self._now(), self.work_done
        self._epoch_is_whole = step == 0
        self._epochs_left = 0 if stage == 1 else epochs - epoch + 1

    def finish_epoch(self) -> None:
        self._epochs_left -= 1
        if self._stage != 1 and self._epoch_is_whole:
            self._epoch_seconds.append(self._now() - self._epoch_started_at)
            self._epoch_work = self.work_done - self._epoch_began_with

    def expect_after(self, seconds: float) -> None:
        """How long what comes after the training will take; it is guessed by its work where this is not told."""
        self._seconds_after = seconds

    def finish_training(self) -> None:
        """What it has left out, such as epochs where it stopped early, counts as done."""
        self.work_done = max(self.work_done, self._total_work - self._work_after)
        self._trained_at = self._now()

    def advance(self, work: float, *, steps: int = 0) -> None:
        """`work` in forward passes, `steps` of the optimizer."""
        self.work_done += work
        self._steps_done += steps
        if self._step is not None:
            self._step += steps
        if self._now() - self._reported_at >= _SECONDS_BETWEEN_REPORTS:
            self._tell(min(self.share, _ALMOST), self._eta())

    def finish(self) -> None:
        self._tell(1.0, 0.0)

    def _eta(self) -> float | None:
        if self._trained_at is not None:
            return self._eta_after(self._trained_at)
        if len(self._epoch_seconds) < 2:
            return None
        shorter, longer = sorted(self._epoch_seconds[-2:])
        if longer > _STEADY * shorter:
            return None
        into_epoch = self._now() - self._epoch_started_at
        return max(0.0, self._epochs_left * median(self._epoch_seconds) - into_epoch) + (self._expected_after() or 0.0)

    def _eta_after(self, trained_at: float) -> float | None:
        """By the clock, but not below what the work that is left takes."""
        if (expected := self._expected_after()) is None:
            return None
        left = (self._total_work - self.work_done) / self._work_after if self._work_after else 0.0
        return max(expected - (self._now() - trained_at), expected * max(left, 1 - _ALMOST))

    def _expected_after(self) -> float | None:
        if self._seconds_after is None and self._epoch_work:
            return self._work_after * median(self._epoch_seconds) / self._epoch_work
        return self._seconds_after

    def _tell(self, progress: float, eta_seconds: float | None) -> None:
        self._reported_at = self._now()
        self._told = max(self._told, progress)
        self._report(Progressed(self._told, eta_seconds, self._stage, self._epoch, self._step, self._steps_done))
