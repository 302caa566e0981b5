"""Datasets that came by uploads."""

from sqlmodel import Session

from app.access.acting import acting_for
from app.access.callers import Caller
from app.datasets.checks import queue_check
from app.datasets.errors import DatasetNotUploaded
from app.datasets.records import add_record, find_by_name
from app.finetune.dataset_check_config import DatasetCheckConfig
from app.finetune.events import DatasetImported
from app.jobs import queries
from app.jobs.tables import Upload, UploadedInput
from app.jobs.transitions.fence import clock

_NO_LIMIT = 2**31
"""The job that made the dataset leaves the queue as its check enters it."""

KIND = "dataset"
"""Of an UploadedInput."""


def remove_uploaded(session: Session, name: str) -> None:
    """Remove the row of an uploaded dataset, which frees its quota. Raises DatasetNotUploaded."""
    if (row := session.get(UploadedInput, (KIND, name))) is None:
        raise DatasetNotUploaded(name)
    session.delete(row)


def record_import(session: Session, job_id: str, imported: DatasetImported) -> None:
    """Write the record of the imported dataset, queue its check, and delete the row of the upload."""
    now = clock(session)
    upload = session.get(Upload, str(queries.get(session, job_id).config["upload"]))
    owner = "local" if upload is None else upload.owner
    row = UploadedInput(
        kind=KIND,
        name=imported.name,
        owner=owner,
        size=imported.bytes,
        sha256=imported.sha256,
        created_at=now,
        job_id=job_id,
    )
    session.merge(row)
    if upload is not None:
        session.delete(upload)
    record = find_by_name(session, imported.name)
    if record is None:
        of_owner = {"owner": owner, "shared": False}
        record = add_record(session, imported.name, imported.subject_pattern, imported.listing, **of_owner)
    record.subject_pattern, record.listing, record.listed_at = imported.subject_pattern, imported.listing, now
    record.findings = record.manifest = record.checked_at = None
    session.flush()
    config = DatasetCheckConfig(dataset=imported.name, subject_pattern=imported.subject_pattern)
    with acting_for(session, Caller(owner, frozenset())):  # whom the check belongs to as well
        queue_check(session, record, config, most_queued=_NO_LIMIT)
