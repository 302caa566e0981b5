"""The bar of a job's phases: those that are done with their seconds, the present one, those to come."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.api_models.job import JobView
from app.finetune.job_kinds import (
    DATASET_CHECK,
    DATASET_IMPORT,
    DRY_RUN,
    DSR_TRAINING,
    EVALUATION,
    FINETUNING,
    MODEL_EXPORT,
)
from app.finetune.phases import PHASES, Phase
from app.jobs.states import JobStatus
from app.jobs.tables import JobEvent
from app.pages import words
from app.pages.formats import duration

_OF_KINDS: dict[str, tuple[Phase, ...]] = {
    FINETUNING: ("checking", "preparing", "measuring", "teacher_targets", "stage_1", "stage_2", "evaluating"),
    DRY_RUN: ("checking", "preparing", "trying"),
    EVALUATION: ("checking", "evaluating"),
    DSR_TRAINING: ("checking", "preparing", "measuring", "teacher_targets", "stage_0", "evaluating"),
    DATASET_CHECK: ("checking", "judging"),
    DATASET_IMPORT: ("unpacking", "building"),
    MODEL_EXPORT: ("checking",),
}
"""The phases that are shown for each kind. Those without a place of their own count to the one before or after."""

_PART_OF: dict[Phase, Phase] = {"starting": "checking", "comparing": "measuring", "writing": "evaluating"}


@dataclass(frozen=True)
class ShownPhase:
    name: str
    is_: Literal["done", "now", "next"]
    took: str


def phases_of(job: JobView, events: Sequence[JobEvent]) -> list[ShownPhase]:
    """Return the phases of the newest attempt. `events` are those of the job, oldest first."""
    seconds = _seconds(job, events)
    shown = [phase for phase in _OF_KINDS.get(job.kind, ()) if _has(job, phase) or phase in seconds]
    present = None if job.terminal or job.phase is None else _shown_as(job.phase, shown)
    reached = [phase for phase in shown if phase in seconds]
    if job.status is JobStatus.SUCCEEDED:
        last = len(shown)
    elif present in shown:
        last = shown.index(present)
    else:  # it stopped in the phase that it had reached last
        last = max((shown.index(each) for each in reached), default=0) - 1
    return [
        ShownPhase(
            _name(job, phase),
            "now" if phase == present else "done" if index <= last else "next",
            _took(job, phase, seconds.get(phase), is_now=phase == present),
        )
        for index, phase in enumerate(shown)
    ]


def _name(job: JobView, phase: Phase) -> str:
    if phase == "evaluating" and job.kind == EVALUATION:
        return "Evaluating"
    if phase == "stage_2" and not getattr(job.config, "stage1_epochs", 0):
        return "Training"
    return words.PHASES[phase]


def _has(job: JobView, phase: Phase) -> bool:
    match phase:
        case "stage_1":
            return bool(getattr(job.config, "stage1_epochs", 0))
        case "teacher_targets":
            return bool(getattr(job.config, "synthetic_identities", 0))
        case "measuring":
            return job.kind == FINETUNING
    return True


def _shown_as(phase: str, shown: Sequence[Phase]) -> Phase | None:
    known = next((each for each in PHASES if each == phase), None)
    if known is None or known in shown:
        return known
    return _PART_OF.get(known, next((each for each in shown if PHASES.index(each) > PHASES.index(known)), None))


def _seconds(job: JobView, events: Sequence[JobEvent]) -> dict[Phase, float]:
    """Return the seconds of each phase of the newest attempt; of the present one until the last event."""
    of_attempt = [event for event in events if event.attempt == job.attempt]
    begun = [(event.created_at, str(event.data.get("phase"))) for event in of_attempt if event.kind == "phase"]
    if not begun:
        return {}
    ends = [at for at, _ in begun[1:]] + [of_attempt[-1].created_at]
    seconds: dict[Phase, float] = {}
    for (at, phase), end in zip(begun, ends, strict=True):
        shown = _shown_as(phase, _OF_KINDS.get(job.kind, ()))
        if shown is not None:
            seconds[shown] = seconds.get(shown, 0.0) + end - at
    return seconds


def _took(job: JobView, phase: Phase, seconds: float | None, *, is_now: bool) -> str:
    stage = {"stage_0": "epochs", "stage_1": "stage1_epochs", "stage_2": "stage2_epochs"}.get(phase)
    planned = None if stage is None else getattr(job.config, stage, None)
    if is_now:
        if planned is not None:
            return f"epoch {job.epoch} of {planned}" if job.epoch is not None else f"{planned} epochs"
        return "" if job.phase_progress is None else f"{job.phase_progress:.0%}"
    return "" if seconds is None else duration(seconds)
