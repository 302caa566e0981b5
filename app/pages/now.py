"""The sentence that opens the page of a job: what is so now, and what it is worth."""

from app.api_models.job import JobView
from app.finetune.counted import counted
from app.finetune.evaluation import Change, Estimate
from app.finetune.job_kinds import DATASET_CHECK, DATASET_IMPORT, DRY_RUN, DSR_TRAINING, EVALUATION, MODEL_EXPORT
from app.finetune.phases import PHASES
from app.jobs.states import JobStatus
from app.pages import words
from app.pages.formats import auc, duration, duration_in_words, interval, rate, signed_interval, size
from app.pages.results import Result

Sentence = tuple[str, str]
"""What is so now, and what it is worth or its limit, which may be empty."""

_STAGES = {"stage_0": 0, "stage_1": 1, "stage_2": 2}


def sentence_of(job: JobView, result: Result | None, accepted: Estimate | None = None) -> Sentence:
    """Return the sentence for a job of any kind and status. `result` is that of its evaluation, `accepted` the TAR at
    FAR 1 % that it measured."""
    match job.status:
        case JobStatus.QUEUED:
            return f"Waiting for {job.waiting_for}.", _kept_so_far(job)
        case JobStatus.PREPARING | JobStatus.RUNNING:
            return _working(job), _so_far(job)
        case JobStatus.PAUSING:
            return "Pausing: its worker saves the state.", "Nothing of the work is lost."
        case JobStatus.PAUSED:
            return "Paused.", _resume_point(job)
        case JobStatus.CANCELLING:
            return "Cancelling: its worker ends the training.", _kept_so_far(job)
        case JobStatus.CANCELLED:
            return "Cancelled.", _kept_so_far(job) or "It left no checkpoint."
        case JobStatus.FAILED if job.error is not None:
            return _begun_large(job.error.message), _begun_large(job.error.hint)
        case JobStatus.FAILED:
            return "Failed.", ""
    return _succeeded(job, result, accepted)


def _working(job: JobView) -> str:
    left = ", measuring the pace" if job.eta_seconds is None else f", about {duration_in_words(job.eta_seconds)} left"
    stage = _STAGES.get(job.phase or "")
    if stage is None:
        known = next((words.PHASES[phase] for phase in PHASES if phase == job.phase), "Starting")
        return f"{known}{left}."
    planned = {0: "epochs", 1: "stage1_epochs", 2: "stage2_epochs"}[stage]
    epochs = getattr(job.config, planned, None)
    of = "" if stage == 0 or not getattr(job.config, "stage1_epochs", 0) else f", stage {stage} of 2"
    epoch = "" if job.epoch is None else f", epoch {job.epoch}" + ("" if epochs is None else f" of {epochs}")
    return f"Training{of}{epoch}{left}."


def _so_far(job: JobView) -> str:
    best, before = job.best, job.recognition.before
    if best is None or best.val_auc is None:
        return "" if before is None or before.auc is None else f"Before the training it scores {auc(before.auc)}."
    than = "" if before is None or before.auc is None else f"; {auc(before.auc)} before"
    return f"So far it scores {auc(best.val_auc)} on {_val_people(job)}{than}."


def _val_people(job: JobView) -> str:
    """Who val shows: people or only photos that were not in train."""
    known = (job.facts or {}).get("val_subjects_in_train")
    return "people it never saw" if known == 0 else "photos it never saw"


def _resume_point(job: JobView) -> str:
    point = job.resume_point
    if point is None:
        return "It goes on from the beginning."
    where = f"epoch {point.epoch + 1}" if not point.step else f"step {point.step} of epoch {point.epoch + 1}"
    stage = f" of stage {point.stage}" if point.stage else ""
    return f"It goes on at {where}{stage}, {point.progress:.0%} done."


def _kept_so_far(job: JobView) -> str:
    return "" if job.checkpoint is None else f"Its best checkpoint so far, epoch {job.checkpoint.epoch}, is kept."


def _succeeded(job: JobView, result: Result | None, accepted: Estimate | None) -> Sentence:
    match job.kind:
        case kind if kind == DRY_RUN and job.estimate is not None:
            seconds, memory = job.estimate.seconds, job.estimate.process_bytes
            return (
                f"This training would take about {duration_in_words(seconds.likely)} on {job.estimate.device}.",
                f"{duration(seconds.low)} to {duration(seconds.high)}, with {size(memory)} of memory.",
            )
        case kind if kind == DATASET_CHECK:
            return "The dataset is checked.", "Its page has what was found."
        case kind if kind == DATASET_IMPORT:
            return "The dataset is made.", "Jobs can train on it now."
        case kind if kind == MODEL_EXPORT:
            return "The ONNX file is written.", "It gives the same embeddings as the weights."
    change = None if result is None else result.change
    if result is None or change is None:
        return _without_change(job, result, accepted)
    return _claim(change, _val_people(job)), _worth(change, result)


def _without_change(job: JobView, result: Result | None, accepted: Estimate | None) -> Sentence:
    if job.kind == EVALUATION and result is not None and accepted is not None and accepted.value is not None:
        people = counted(result.people.subjects, "person", "people")
        spread = "" if accepted.interval is None else f", 95% interval {interval(accepted.interval)}"
        use = "" if result.recommended_threshold is None else f" Use threshold {rate(result.recommended_threshold)}."
        first = f"It accepts {rate(accepted.value)} of true pairs, when 1 in 100 pairs of two people gets through."
        return first, f"Measured on {people}{spread}.{use}"
    verdict = job.recognition.verdict
    if verdict is None:
        return "Done.", ""
    figures, colon, claim = verdict.partition("): ")
    if job.kind == DSR_TRAINING and colon and "): " not in claim:  # of a network for one size
        said, _, difference = claim.rstrip(".").partition(" (difference ")
        return _begun_large(said), f"{figures}). Difference {difference.rstrip(')')}." if difference else f"{figures})."
    first, _, rest = verdict.partition(". ")
    return _begun_large(first), rest


def _claim(change: Change, on: str) -> str:
    what = "Recognition" if change.of == "fine-tuning" else "Recognition with the DSR"
    match change.outcome:
        case "better":
            return f"{what} got better on {on}."
        case "worse":
            return f"{what} got worse on {on}."
        case "too little data":
            return "There is too little data to tell whether recognition changed."
    return "Nobody can tell whether recognition changed."


def _worth(change: Change, result: Result) -> str:
    people = counted(result.people.subjects, "person", "people")
    difference, found = change.difference.value, change.difference.interval
    if difference is None or found is None:
        return f"{people} are measured: an interval needs at least five."
    nearest = min(abs(found.low), abs(found.high))
    match change.outcome:
        case "not distinguishable":
            return f"The interval of the difference, {signed_interval(found)}, includes zero. More people tell more."
        case "better" | "worse" if nearest < abs(difference) / 10:
            return f"Only just: the interval of the difference nearly touches zero, and {people} say little."
        case "better":
            return f"{rate(difference)} more of true pairs are accepted, {signed_interval(found)} with {people}."
    return f"{rate(abs(difference))} fewer of true pairs are accepted, {signed_interval(found)} with {people}."


def _begun_large(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
