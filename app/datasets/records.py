"""Reads and writes the records of datasets."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from app.access.acting import caller_of
from app.database import Database
from app.dataset_roots import dataset_roots
from app.datasets.errors import DatasetNotRegistered
from app.datasets.manifests import keep_manifest, manifest_file
from app.finetune.dataset_errors import DatasetHidesUpload, ManifestUnreadable, SubjectPatternInvalid
from app.finetune.dataset_findings import DatasetFindings, PartWarning
from app.finetune.dataset_folders import dataset_of
from app.finetune.dataset_listing import ListedPart, list_parts, listing_of
from app.finetune.errors import printable
from app.finetune.job_dataset import JobDataset
from app.finetune.listing import Listing
from app.finetune.manifest import MANIFEST_NAME, DatasetManifest, read_manifest
from app.finetune.shown_names import on_disk
from app.finetune.split_summary import SplitSummary
from app.finetune.subject_patterns import GUIDE, SubjectPattern
from app.jobs.tables import Dataset, UploadedInput
from app.jobs.transitions.fence import clock
from app.jobs.transitions.submission import new_job_id
from app.settings import Settings


@dataclass(frozen=True)
class RecordedPart:
    """A directory of a config as its dataset's record describes it. `summary` is None where it cannot be used; scanning
    it raises the reason."""

    field: str
    directory: Path
    record: Dataset
    part: str
    summary: SplitSummary | None
    roots: Sequence[Path]

    @property
    def folder(self) -> Path:
        """The dataset's."""
        return self.directory if self.part == "." else self.directory.parent

    @property
    def pattern(self) -> SubjectPattern:
        return SubjectPattern(self.record.subject_pattern)

    def for_job(self) -> JobDataset:
        return JobDataset(
            field=self.field,
            dataset=self.record.id,
            name=self.record.name,
            part=self.part,
            subject_pattern=self.record.subject_pattern,
            manifest=self.record.manifest,
        )


class DatasetRecords:
    """The records of one service. A dataset is listed only if it has no record or a folder of it changed."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self.roots = dataset_roots(settings)
        self._roots = settings.dataset_roots
        self._artifacts_dir = settings.artifacts_dir

    def read(self, **directories: Path) -> list[RecordedPart]:
        """Return the parts that the directories of a config are, by the names of its fields. Opens no image."""
        places = {field: place_of(directory, self.roots.of_path(directory)) for field, directory in directories.items()}
        wanted: dict[str, list[str]] = {}
        for name, part in places.values():
            wanted.setdefault(name, []).append(part)
        records = {name: self._current(name, parts) for name, parts in wanted.items()}
        read = []
        for field, (name, part) in places.items():
            listed = records[name].listing.parts.get(part)
            summary = None if listed is None else listed.summary
            read.append(RecordedPart(field, directories[field], records[name], part, summary, self._roots))
        return read

    def register(self, folder: Path, pattern: str | None) -> tuple[Dataset, bool]:
        """List the dataset in `folder` anew. Return its record, and whether it had none.

        What is known of the images stays known if none of them was written since. Opens no image. The pattern None
        keeps that of the record, or of the dataset's own manifest.

        Raises SubjectPatternInvalid, DatasetHidesUpload, and the problem of the folder if no part can be used.
        """
        name = place_of(folder, self.roots.of_path(folder))[0]
        if pattern is not None:
            SubjectPattern(pattern)
        with self._database.reading() as session:
            is_new = find_by_name(session, name) is None
        record, listed = self._list(name, pattern)
        if record.id == "":
            raise next(part.problem for part in listed.values() if part.problem is not None)
        return record, is_new

    def _current(self, name: str, parts: list[str]) -> Dataset:
        with self._database.reading() as session:
            record = find_by_name(session, name)
        folder = on_disk(self.roots.of_name(name), name)
        if record is not None and all(record.listing.current(folder, part) for part in parts):
            if record.findings is None or not record.findings.is_outdated(folder):
                return record
            self._forget_check(name)
        return self._list(name, None, parts)[0]

    def _forget_check(self, name: str) -> None:
        """Forget what the last check found: somebody has mended it."""
        with self._database.writing() as session:
            if (record := find_by_name(session, name)) is not None:
                record.findings = record.manifest = record.checked_at = None

    def _list(
        self, name: str, pattern: str | None, parts: list[str] | None = None
    ) -> tuple[Dataset, dict[str, ListedPart]]:
        """List the dataset, and write its record if `parts`, or None any of them, can be used.

        Raises DatasetHidesUpload.
        """
        folder = on_disk(self.roots.of_name(name), name)
        manifest = read_manifest(folder / MANIFEST_NAME, self._roots)
        with self._database.reading() as session:
            known = find_by_name(session, name)
            if folder.is_relative_to(self.roots.own) and session.get(UploadedInput, ("dataset", name)) is not None:
                raise DatasetHidesUpload(name)
        text = pattern or (known.subject_pattern if known else None) or _pattern_of(manifest)
        listed = list_parts(folder, SubjectPattern(text), self._roots)
        listing = listing_of(listed)
        record = Dataset(id="", name=name, subject_pattern=text, registered_at=0.0, listed_at=0.0, listing=listing)
        usable = [part for part, each in listing.parts.items() if each.summary is not None]
        if usable and (parts is None or set(parts) <= set(usable)):
            if manifest is not None and manifest.subject_pattern == text:
                _take_over(record, manifest, folder, listed, self._artifacts_dir)
            record = self._save(record, None if known is None else self._confirmed(known, folder, listed))
        return record, listed

    def _confirmed(self, known: Dataset, folder: Path, listed: Mapping[str, ListedPart]) -> str | None:
        """Return the digest of the record's manifest if its files are those that were listed, else None."""
        if known.manifest is None or known.findings is None:
            return None
        try:
            manifest = read_manifest(manifest_file(self._artifacts_dir, known.manifest))
            # The manifest lacks files that could not be opened. Whether they still cannot is for `is_outdated`.
            unopened = {on_disk(folder / each.part, each.path) for each in known.findings.unopened}
            images = [image for image in _images(listed) if image not in unopened]
            is_stale = manifest is None or bool(manifest.stale(folder, images)) or known.findings.is_outdated(folder)
        except (OSError, ManifestUnreadable):
            return None
        return None if is_stale else known.manifest

    def _save(self, listed: Dataset, confirmed: str | None) -> Dataset:
        try:
            with self._database.writing() as session:
                return _write(session, listed, confirmed)
        except IntegrityError:  # another request registered it first
            with self._database.writing() as session:
                return _write(session, listed, confirmed)


def place_of(directory: Path, root: Path) -> tuple[str, str]:
    """Return the name of the dataset's record, which is its path in `root` as `printable` shows it, and the part of it
    that the directory is."""
    dataset, part = dataset_of(directory.resolve().relative_to(root.resolve()))
    return printable(dataset.as_posix()), part


def find_by_name(session: Session, name: str) -> Dataset | None:
    return session.exec(select(Dataset).where(Dataset.name == name)).one_or_none()


def find(session: Session, id_or_name: str) -> Dataset:
    """Return the record of this id or name. Raises DatasetNotRegistered, also for one that the session's caller may not
    see."""
    record = session.get(Dataset, id_or_name) or find_by_name(session, id_or_name)
    if record is None or not _may_see(session, record):
        owner = find_by_name(session, id_or_name.removesuffix("/sheet"))
        owner = owner if owner is not None and _may_see(session, owner) else None
        registered = [each.name for each in find_all(session)]
        raise DatasetNotRegistered(id_or_name, registered, None if owner is None else owner.id)
    return record


def find_all(session: Session) -> list[Dataset]:
    """Return all records that the session's caller may see, by name."""
    records = session.exec(select(Dataset).order_by(col(Dataset.name))).all()
    return [record for record in records if _may_see(session, record)]


def is_hidden(session: Session, name: str) -> bool:
    """Return whether the folder of this name belongs to somebody who does not share it with the session's caller."""
    return name in _hidden(session)


def shown_names(session: Session, names: Iterable[str]) -> list[str]:
    """Return the names without those that are hidden from the session's caller."""
    hidden = _hidden(session)
    return [name for name in names if name not in hidden]


def _hidden(session: Session) -> set[str]:
    """Names of records, and of uploads that have no record yet."""
    if caller_of(session).is_admin:
        return set()
    records = session.exec(select(Dataset)).all()
    uploaded = session.exec(select(UploadedInput).where(UploadedInput.kind == "dataset")).all()
    recorded, caller = {record.name for record in records}, caller_of(session)
    return {record.name for record in records if not _may_see(session, record)} | {
        each.name for each in uploaded if each.name not in recorded and not caller.may_change(each.owner)
    }


def _may_see(session: Session, record: Dataset) -> bool:
    return caller_of(session).may_see(record.owner, record.shared)


def add_record(session: Session, name: str, subject_pattern: str, listing: Listing, **known: Any) -> Dataset:
    """Add the record of a dataset that has none. `known` are other columns."""
    now = clock(session)
    record = Dataset(
        id=new_job_id(),
        name=name,
        subject_pattern=subject_pattern,
        registered_at=now,
        listed_at=now,
        listing=listing,
        **known,
    )
    session.add(record)
    return record


def _write(session: Session, listed: Dataset, confirmed: str | None) -> Dataset:
    """Write what was listed. `confirmed` is the manifest whose files were found as they were."""
    record = find_by_name(session, listed.name)
    if record is None:
        known = {"findings": listed.findings, "manifest": listed.manifest}
        record = add_record(session, listed.name, listed.subject_pattern, listed.listing, **known)
    elif not (
        record.subject_pattern == listed.subject_pattern
        and _are_equal(record.listing, listed.listing)
        and record.manifest == confirmed
    ):
        record.subject_pattern, record.listing = listed.subject_pattern, listed.listing
        record.findings, record.manifest, record.checked_at = listed.findings, listed.manifest, None
    record.listed_at = now = clock(session)
    if record.findings is not None and record.checked_at is None:
        record.checked_at = now
    session.flush()
    return record


def _are_equal(first: Listing, second: Listing) -> bool:
    """Whether nothing changed between them, as far as times can tell."""
    return first == second and all(None not in part.times.values() for part in first.parts.values())


def _pattern_of(manifest: DatasetManifest | None) -> str:
    try:
        return GUIDE.text if manifest is None else SubjectPattern(manifest.subject_pattern).text
    except SubjectPatternInvalid:  # one of a later version
        return GUIDE.text


def _images(listed: Mapping[str, ListedPart]) -> list[Path]:
    return [image.path for part in listed.values() if part.split is not None for image in part.split.images]


def _take_over(
    record: Dataset, manifest: DatasetManifest, folder: Path, listed: Mapping[str, ListedPart], artifacts_dir: Path
) -> None:
    """Take what `dataset build` found, if no image changed since."""
    try:
        if manifest.stale(folder, _images(listed)):
            return
        record.manifest = keep_manifest(artifacts_dir, manifest)
    except OSError:
        return
    record.findings = DatasetFindings(
        by="build",
        images=len(manifest.files),
        warnings=[PartWarning(code=each.code, message=each.message) for each in manifest.problems],
        alignment=manifest.alignment,
    )
