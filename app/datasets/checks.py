"""The checks of datasets: jobs that write what they find into the record."""

from collections.abc import Sequence
from pathlib import Path

from sqlmodel import Session, col, select

from app.access.acting import acting_for
from app.access.callers import SERVICE
from app.api_models.labels import NO_LABELS, Labels
from app.datasets.errors import NoSheet
from app.datasets.records import find
from app.finetune.checkpoint import WrittenFile
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.events import DatasetChecked
from app.finetune.job_kinds import DATASET_CHECK, kind_of
from app.finetune.job_warning import JobWarning
from app.jobs import queries
from app.jobs.made_weights import hold_named
from app.jobs.states import TERMINAL, JobStatus
from app.jobs.tables import Dataset, Job
from app.jobs.transitions import submission, wishes
from app.jobs.transitions.fence import clock


def queue_check(
    session: Session,
    registered: Dataset,
    config: DatasetCheckConfig,
    warnings: Sequence[JobWarning] = (),
    *,
    priority: int = 0,
    labels: Labels = NO_LABELS,
    most_queued: int,
) -> Dataset:
    """Queue the job that checks the dataset, unless one of this config waits. Return the record. Ring the bell
    after the commit.

    Raises as `hold_named`, and TooManyQueuedJobs if `most_queued` jobs of the caller are queued.
    """
    record = session.get_one(Dataset, registered.id, with_for_update=True)
    if record.manifest != registered.manifest:
        # A check that began before the dataset was registered has ended since: it may have read former files.
        record.findings = record.manifest = record.checked_at = None
    # All spellings of the name, and the names of its parts, ask for one check: that of the whole dataset.
    config = config.model_copy(update={"dataset": record.name, "subject_pattern": record.subject_pattern})
    waiting = None if record.check_job_id is None else session.get(Job, record.check_job_id)
    content = config.model_dump(mode="json")
    if waiting is None or waiting.status != JobStatus.QUEUED or waiting.config != content:
        submission.refuse_if_full(session, most_queued)
        hold_named(session, kind_of(DATASET_CHECK), content)
        record.check_job_id = submission.submit(
            session, config, warnings, priority=priority, kind=DATASET_CHECK, labels=labels
        ).id
        session.flush()
        if waiting is not None:
            _cancel(session, waiting)
    return record


def record_check(session: Session, job_id: str, checked: DatasetChecked) -> None:
    """Write what the job found, unless a newer check was queued or the record was removed."""
    query = select(Dataset).where(col(Dataset.check_job_id) == job_id).with_for_update()
    record = session.exec(query).one_or_none()
    if record is not None:
        record.listing = checked.listing
        record.findings, record.manifest = checked.findings, checked.manifest
        record.listed_at = record.checked_at = clock(session)


def find_sheet(session: Session, record_id: str, page: int) -> WrittenFile:
    """Return a page of the images that the newest judgement of the labels names, counted from 1.

    Raises DatasetNotRegistered or NoSheet.
    """
    record = find(session, record_id)
    judged = [] if record.findings is None else list(record.findings.labels.values())
    sheets = judged[-1].sheets if judged else []
    if page > len(sheets):
        raise NoSheet(record.name, len(sheets))
    sheet = sheets[page - 1]
    return WrittenFile(Path(sheet.key), sheet.size, sheet.sha256)


def remove(session: Session, record: Dataset) -> None:
    """Remove the record and cancel its check. The folder stays."""
    if record.check_job_id is not None and (job := session.get(Job, record.check_job_id)) is not None:
        _cancel(session, job)
    session.delete(record)


def _cancel(session: Session, job: Job) -> None:
    with acting_for(session, SERVICE):  # the check may be another's, such as an admin's
        if queries.fresh(session, job.id).status not in TERMINAL:
            wishes.request_cancel(session, job.id)
