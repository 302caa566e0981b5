"""The values that the forms offer: datasets, and weights with the jobs that made them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from app.datasets.records import DatasetRecords, find_all, shown_names
from app.finetune.config import OF_JOB
from app.finetune.dataset_folders import TRAIN_FOLDER, VAL_FOLDER
from app.finetune.job_kinds import makers_of
from app.finetune.state_dicts import Weights
from app.inputs.names import list_all_weights, list_datasets
from app.jobs.search import JobFilter, find_jobs
from app.jobs.states import JobStatus
from app.jobs.tables import Dataset, Job
from app.pages.formats import short_id
from app.pages.job_rows import title_of
from app.settings import Settings

JOBS_OFFERED = 100
"""Newest jobs whose weights a form offers."""


@dataclass(frozen=True)
class Choice:
    """A value and the words for it."""

    value: str
    words: str


def dataset_choices(session: Session, records: DatasetRecords) -> list[Choice]:
    """Return the datasets that the session's caller may name, with their people and photos where they are recorded."""
    roots = records.roots
    names = sorted({*list_datasets(roots.own), *list_datasets(roots.uploaded)})
    known = {record.name: record for record in find_all(session)}
    return [
        Choice(name, f"{name} · {_counts(known[name])}" if name in known else name)
        for name in shown_names(session, names)
    ]


def weights_choices(session: Session, settings: Settings, family: Weights) -> list[Choice]:
    """Return the files, then `job:ID` of the jobs that made such weights, the newest first."""
    files = [Choice(name, name) for name in list_all_weights(settings, session)]
    return files + [Choice(f"{OF_JOB}{job.id}", job_words(job)) for job in makers(session, family)]


def makers(session: Session, family: Weights) -> Sequence[Job]:
    """Return the newest succeeded jobs that made weights of this family and still have them, the newest first."""
    found = [
        job
        for kind in makers_of(family)
        for job in find_jobs(session, JobFilter(kinds=[kind], statuses=[JobStatus.SUCCEEDED]), limit=JOBS_OFFERED).jobs
        if job.checkpoint is not None
    ]
    return sorted(found, key=lambda job: job.id, reverse=True)


def job_words(job: Job) -> str:
    """As in `orl12-lr1e-4 (job 17e464)`."""
    return f"{title_of(job)} (job {short_id(job.id)})"


def with_value(choices: list[Choice], value: str) -> list[Choice]:
    """Return the choices, and first the value where they lack it, as of a job whose dataset is gone."""
    return choices if not value or any(each.value == value for each in choices) else [Choice(value, value), *choices]


def _counts(record: Dataset) -> str:
    parts = record.listing.parts
    counts = [
        f"{summary.vlr_images} photos of {len(summary.vlr_subjects)} people{words}"
        for folder, words in ((TRAIN_FOLDER, ""), (VAL_FOLDER, " to measure on"))
        if folder in parts and (summary := parts[folder].summary) is not None
    ]
    return ", ".join(counts)
