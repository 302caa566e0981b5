"""The events of a job, each in a line of its log."""

from collections.abc import Callable, Mapping
from typing import Any

from app.finetune.phases import PHASES
from app.jobs.states import JobStatus
from app.jobs.tables import JobEvent
from app.pages import words
from app.pages.formats import auc, duration, rate

Data = Mapping[str, Any]


def event_words(event: JobEvent) -> str:
    """Return the line of an event. One of another version is named by its kind."""
    write = _LINES.get(event.kind)
    try:
        return write(event.data) if write is not None else event.kind.replace("_", " ")
    except (KeyError, TypeError, ValueError):  # data of another version
        return event.kind.replace("_", " ")


def _status(data: Data) -> str:
    error = data.get("error")
    because = f": {error['message']}" if error else f": {data['reason']}" if data.get("reason") else ""
    worker = f" by worker {data['worker']}" if data.get("worker") else ""
    return words.STATUSES[JobStatus(data["status"])].lower() + worker + because


def _phase(data: Data) -> str:
    known = next((words.PHASES[phase] for phase in PHASES if phase == data["phase"]), str(data["phase"]))
    return known[0].lower() + known[1:]


def _prepared(data: Data) -> str:
    if "train_images" not in data:
        return f"reads {data['images']} images" if "images" in data else f"starts on {data.get('device', 'its input')}"
    val = f"; {data['val_images']} of {data['val_subjects']} people to measure on" if data.get("val_subjects") else ""
    return f"prepared {data['train_images']} images of {data['subjects']} people{val}"


def _predicted(data: Data) -> str:
    return f"predicted: {duration(data['likely'])} ({duration(data['low'])} to {duration(data['high'])}) for all epochs"


def _stage(data: Data) -> str:
    return f"stage {data['stage']}, {data['epochs']} epochs" if data["stage"] else f"DSR, {data['epochs']} epochs"


def _epoch(data: Data) -> str:
    score = f", score {auc(data['val_auc'])}" if data.get("val_auc") is not None else ""
    pace = f"{duration(data['seconds'])}, {data['images_per_second']:.0f} images/s"
    return f"epoch {data['epoch']} of {data['epochs']}: loss {data['train_loss']:.3f}{score}, {pace}"


def _recognition(data: Data) -> str:
    found = data["recognition"]
    tar = found.get("tar_at_far_1_percent")
    parts = [
        "" if tar is None else f"TAR at FAR 1% {rate(tar)}",
        f"AUC {auc(found['auc'])}" if found.get("auc") else "",
    ]
    return f"{data['when']}: {', '.join(filter(None, parts)) or 'no pairs to compare'}"


def _resumed(data: Data) -> str:
    if data.get("from_attempt") is None:
        return "starts from the beginning"
    return f"goes on from stage {data['stage']}, epoch {data['epoch']}; {data['steps_redone']} steps are made again"


_LINES: dict[str, Callable[[Data], str]] = {
    "status": _status,
    "phase": _phase,
    "prepared": _prepared,
    "predicted": _predicted,
    "stage": _stage,
    "epoch": _epoch,
    "recognition": _recognition,
    "resumed": _resumed,
    "warning": lambda data: f"warning: {data['message']}",
    "waiting": lambda data: f"waits for {data['reason']}",
    "checkpoint": lambda data: f"checkpoint of epoch {data['epoch']} written, score {auc(data['score'])}",
    "stopped_early": lambda data: f"stopped early after epoch {data['epoch']}; epoch {data['best_epoch']} is the best",
    "rolled_back": lambda data: f"the loss was not finite: goes on from stage {data['stage']}, epoch {data['epoch']}",
    "step_chosen": lambda data: f"stage {data['stage']}: {data['way']} steps ({data['reason']})",
}
