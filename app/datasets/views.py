"""Views of datasets' records."""

from collections.abc import Iterator
from datetime import UTC, datetime

from sqlmodel import Session

from app.api_models.datasets import DatasetCheckView, DatasetPartView, DatasetSummary, DatasetView
from app.api_models.job_status import JobStatus
from app.dataset_roots import Roots
from app.finetune.counted import by_number, counted
from app.finetune.dataset_findings import PartWarning
from app.finetune.dataset_folders import PART_FOLDERS
from app.finetune.dataset_warnings import summary_warnings
from app.finetune.errors import name_some
from app.finetune.listing import PartListing
from app.finetune.shown_names import on_disk
from app.jobs.tables import Dataset, Job

_ROLES = {folder: part for part, folder in PART_FOLDERS.items()}


def view_summary(session: Session, record: Dataset, roots: Roots) -> DatasetSummary:
    job = None if record.check_job_id is None else session.get(Job, record.check_job_id)
    path = f"/datasets/{record.id}"
    links = {"self": path}
    if job is not None:
        links["check"] = f"/jobs/{job.id}"
    if record.findings is not None and any(judged.sheets for judged in record.findings.labels.values()):
        links["sheet"] = f"{path}/sheet"
    return DatasetSummary(
        id=record.id,
        name=record.name,
        owner=record.owner,
        shared=record.shared,
        subject_pattern=record.subject_pattern,
        registered_at=_moment(record.registered_at),
        listed_at=_moment(record.listed_at),
        fresh=record.listing.is_current(on_disk(roots.of_name(record.name), record.name)),
        parts=[_view_part(part, listed) for part, listed in record.listing.parts.items()],
        check=None if job is None else DatasetCheckView(job=job.id, status=JobStatus(job.status)),
        checked_at=None if record.checked_at is None else _moment(record.checked_at),
        manifest=record.manifest,
        links=links,
    )


def view_dataset(session: Session, record: Dataset, roots: Roots) -> DatasetView:
    summary = view_summary(session, record, roots)
    return DatasetView(
        **{name: getattr(summary, name) for name in DatasetSummary.model_fields},
        warnings=[*_of_names(record), *_of_images(record)],
        findings=record.findings,
    )


def _view_part(part: str, listed: PartListing) -> DatasetPartView:
    summary = listed.summary
    return DatasetPartView(
        part=part,
        subjects=0 if summary is None else len(summary.vlr_subjects),
        vlr_images=0 if summary is None else summary.vlr_images,
        hr_images=0 if summary is None else summary.hr_images,
        problem=listed.problem,
    )


def _of_names(record: Dataset) -> Iterator[PartWarning]:
    for part, listed in record.listing.parts.items():
        if listed.summary is not None and listed.problem is None:
            for warning in summary_warnings(listed.summary, _ROLES.get(part, record.name)):
                yield PartWarning(part=part, code=warning.code, message=warning.message)


def _of_images(record: Dataset) -> Iterator[PartWarning]:
    if (findings := record.findings) is None:
        return
    if findings.unreadable:
        named = name_some([f"{each.part}/{each.path} ({each.reason})" for each in findings.unreadable])
        message = f"{counted(len(findings.unreadable), 'image')} cannot be read: {named}"
        yield PartWarning(part=None, code="image_unreadable", message=message)
    if findings.copies:
        pairs = [[f"{end.part}/{end.path}" for end in copy.ends] for copy in findings.copies]
        named = name_some([" and ".join(ends) for ends in pairs])
        are = by_number(len(findings.copies), "is", "are")
        message = f"{counted(len(findings.copies), 'photo')} {are} in two parts or under two subjects: {named}"
        yield PartWarning(part=None, code="photo_copied", message=message)
    yield from findings.warnings


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
