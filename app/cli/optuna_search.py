"""A search by Optuna: each trial is a job, judged by the score that val selects its best epoch by, never by test."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from app.api_models.job import JobView
from app.cli.config_text import read_value, swept_fields
from app.client import Client
from app.finetune.config import FinetuneConfig
from app.finetune.counted import counted
from app.finetune.errors import ConfigError

_LOGARITHMIC = 10.0
"""A range whose ends are this many times apart is searched on a logarithmic scale, as learning rates are."""
_STUDY_ID = "id"


@dataclass(frozen=True)
class Search:
    """What is searched: the fields that all jobs share, and those that vary as `FIELD=LOW..HIGH` or `FIELD=A,B`. The
    jobs are called NAME-0, NAME-1 and so on, and are the sweep NAME."""

    name: str
    content: Mapping[str, Any]
    swept: Sequence[str]
    priority: int = 0


def run_search(client: Client, search: Search, folder: Path, trials: int, say: Callable[[str], None]) -> None:
    """Run jobs, one after the other, until the study has `trials` trials, and say them, the best first.

    The study is kept in `folder`/NAME.optuna.log. A search that was interrupted continues with the job that it waited
    for. Raises ConfigError for what cannot be searched, and the errors of the client.
    """
    space = _space(search.swept)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = JournalStorage(JournalFileBackend(str(folder / f"{search.name}.optuna.log")))
    study = optuna.create_study(storage=storage, study_name=search.name, direction="maximize", load_if_exists=True)
    if _STUDY_ID not in study.user_attrs:
        study.set_user_attr(_STUDY_ID, uuid.uuid4().hex)
    while True:
        for trial in study.get_trials(states=[TrialState.RUNNING]):
            say(_run(client, study, trial, search))
        if len(study.trials) >= trials:
            break
        study.ask(space)
    for line in _results(study):
        say(line)


def _run(client: Client, study: optuna.Study, trial: FrozenTrial, search: Search) -> str:
    """Submit the job of a trial, or find it again by its key; wait for its end, and keep its score."""
    job = client.submit(
        {**search.content, **trial.params},
        name=f"{search.name}-{trial.number}",
        sweep=search.name,
        priority=search.priority,
        idempotency_key=f"optuna-{study.user_attrs[_STUDY_ID]}-{trial.number}",
    )
    for _ in client.events(job.id):
        pass
    job = client.get(job.id)
    score = _score(job)
    study.tell(trial.number, score, state=TrialState.FAIL if score is None else None)
    result = f"{job.status} without a score" if score is None else f"val score {score:.4f}"
    return f"trial {trial.number}: {_values(trial)}: {result} (job {job.id})"


def _results(study: optuna.Study) -> list[str]:
    """A line for each trial, the best first."""
    done = [trial for trial in study.trials if trial.value is not None]
    best = sorted(done, key=lambda trial: trial.value or 0.0, reverse=True)
    failed = len(study.trials) - len(done)
    return [
        "VAL SCORE  JOB  VALUES",
        *(f"{trial.value:.4f}  {study.study_name}-{trial.number}  {_values(trial)}" for trial in best),
        *([f"{counted(failed, 'trial')} without a score"] if failed else []),
    ]


def _score(job: JobView) -> float | None:
    """Return the score of the checkpoint of a job that succeeded."""
    return job.checkpoint.score if job.status == "succeeded" and job.checkpoint is not None else None


def _values(trial: FrozenTrial) -> str:
    return " ".join(
        f"{field}={value:.3g}" if isinstance(value, float) else f"{field}={value}"
        for field, value in trial.params.items()
    )


def _space(swept: Iterable[str]) -> dict[str, BaseDistribution]:
    space: dict[str, BaseDistribution] = {}
    for text in swept:
        field, _, values = (part.strip() for part in text.partition("="))
        if ".." in values:
            space[field] = _range(field, *values.split("..", 1))
        else:
            space |= {
                field: CategoricalDistribution(each) for field, each in swept_fields([text], FinetuneConfig).items()
            }
    return space


def _range(field: str, low_text: str, high_text: str) -> BaseDistribution:
    low, high = (read_value(text.strip(), field, FinetuneConfig) for text in (low_text, high_text))
    if not (_is_number(low) and _is_number(high) and low < high):
        raise ConfigError(
            f"--sweep {field}={low_text}..{high_text} is no range of numbers",
            "write it as in --sweep backbone_lr=1e-6..1e-3",
        )
    log = low > 0 and high / low >= _LOGARITHMIC
    known = FinetuneConfig.model_fields.get(field)
    if known is not None and known.annotation in (int, int | None):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
