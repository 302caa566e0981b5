"""Several jobs side by side: what each reached, and the fields of their configs that differ."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from app.api_models.job import JobView
from app.cli.job_ids import short_id
from app.client import ApiError, Client
from app.finetune.errors import printable
from app.finetune.evaluation import Change, Estimate, Evaluation
from app.finetune.job_kinds import KINDS

_ABSENT = "-"


@dataclass(frozen=True)
class Quantity:
    """A line of the comparison. `shown` and `plain` have a text for each job, `plain` without marks and intervals in
    words, for CSV."""

    name: str
    shown: Sequence[str]
    plain: Sequence[str]

    @property
    def is_known(self) -> bool:
        return any(self.plain)

    @property
    def differs(self) -> bool:
        return len(set(self.plain)) > 1


def compare_jobs(client: Client, job_ids: Sequence[str]) -> tuple[list[Quantity], list[str]]:
    """Return the lines, and a heading for each job. Raises ApiError as `Client.get`."""
    jobs = [client.get(job_id) for job_id in job_ids]
    changes = [_change(client, job) for job in jobs]
    first = [
        _texts("name", [job.name for job in jobs]),
        _texts("status", [str(job.status) for job in jobs]),
        _numbers("best epoch", [None if job.best is None else job.best.epoch for job in jobs], "d", mark=False),
        _of_best(jobs, "val AUC", lambda job: None if job.best is None else job.best.val_auc),
        _of_best(jobs, "val accuracy", lambda job: None if job.best is None else job.best.val_accuracy),
        _of_best(jobs, "val PSNR", lambda job: None if job.best is None else job.best.val_psnr),
        *_recognition(changes),
    ]
    return [*(each for each in first if each.is_known), *_config_differences(jobs)], [short_id(job.id) for job in jobs]


def comparison_lines(quantities: Sequence[Quantity], headings: Sequence[str]) -> list[str]:
    """Return the comparison as a table."""
    rows = [["", *headings], *([each.name, *each.shown] for each in quantities)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(headings) + 1)]
    return [
        printable("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for row in rows
    ]


def _change(client: Client, job: JobView) -> Change | None:
    """Return the effect of the fine-tuning by the job's evaluation, None without one."""
    if not (job.terminal and KINDS[job.kind].evaluated):
        return None
    try:
        evaluation: Evaluation = client.evaluation(job.id)
    except (ApiError, ValidationError):
        return None  # of a failed job, or of another version
    return next((change for change in evaluation.changes if change.of == "fine-tuning"), None)


def _recognition(changes: Sequence[Change | None]) -> list[Quantity]:
    measures = dict.fromkeys(change.measure for change in changes if change is not None and change.measure)
    lines = []
    for measure in measures:
        of_measure = [change if change is not None and change.measure == measure else None for change in changes]
        lines += [
            _estimates(
                f"{measure} before", [None if each is None else each.baseline for each in of_measure], mark=False
            ),
            _estimates(f"{measure} after", [None if each is None else each.achieved for each in of_measure]),
            _estimates(f"{measure} gained", [None if each is None else each.difference for each in of_measure]),
        ]
    verdicts = _texts("verdict", ["" if change is None else change.outcome for change in changes])
    return [*lines, verdicts]


def _config_differences(jobs: Sequence[JobView]) -> list[Quantity]:
    configs = [job.config.model_dump(mode="json") for job in jobs]
    fields = dict.fromkeys(field for config in configs for field in config)
    lines = [
        _texts(field, [_in_json(config[field]) if field in config else "" for config in configs]) for field in fields
    ]
    return [line for line in lines if line.differs]


def _in_json(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _texts(name: str, texts: Sequence[str]) -> Quantity:
    return Quantity(name, [text or _ABSENT for text in texts], texts)


def _of_best(jobs: Sequence[JobView], name: str, value: Callable[[JobView], float | None]) -> Quantity:
    return _numbers(name, [value(job) for job in jobs], ".4f")


def _numbers(name: str, values: Sequence[float | None], form: str, *, mark: bool = True) -> Quantity:
    plain = ["" if value is None else format(value, form) for value in values]
    return Quantity(name, _marked(plain, values if mark else []), plain)


def _estimates(name: str, estimates: Sequence[Estimate | None], *, mark: bool = True) -> Quantity:
    values = [None if each is None else each.value for each in estimates]
    texts = ["" if each is None else _estimate(each) for each in estimates]
    plain = ["" if value is None else f"{value:.4f}" for value in values]
    return Quantity(name, _marked(texts, values if mark else []), plain)


def _estimate(estimate: Estimate) -> str:
    if estimate.value is None:
        return estimate.in_a_word
    interval = estimate.interval
    return f"{estimate.value:.3f}" + ("" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]")


def _marked(texts: Sequence[str], values: Sequence[float | None]) -> list[str]:
    """Mark the highest value, if there are others."""
    known = [value for value in values if value is not None]
    best = max(known) if len(set(known)) > 1 else None
    marks = ["*" if best is not None and value == best else "" for value in values] or [""] * len(texts)
    return [f"{text or _ABSENT}{mark}" for text, mark in zip(texts, marks, strict=True)]
