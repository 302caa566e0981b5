"""Faces of a dataset on its page: six people at a time, each as the model sees them."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Annotated

from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from fastapi import APIRouter, Header, Query, Response

from app.dataset_roots import dataset_roots
from app.datasets.records import find
from app.finetune.dataset_folders import PART_FOLDERS
from app.finetune.dataset_listing import scan_part
from app.finetune.shown_names import on_disk
from app.finetune.subject_patterns import SubjectPattern
from app.guard.gate import CallerDep
from app.isolated.run import run
from app.jobs.tables import Dataset
from app.pages.face_sheet_task import SHEET, Pair, SheetRequest
from app.routes.dependencies import ChecksDep, ServiceDep, reading_for
from app.settings import Settings

PEOPLE_SHOWN = 6
_PART_ORDER = (PART_FOLDERS["val"], PART_FOLDERS["test"], PART_FOLDERS["train"])
_LISTINGS_KEPT, _SHEETS_KEPT = 32, 64

Page = Annotated[int, Query(ge=1, le=100_000)]

router = APIRouter(include_in_schema=False)
_sheets: LRUCache[tuple[object, ...], bytes] = LRUCache(_SHEETS_KEPT)
_lock = Lock()


@dataclass(frozen=True)
class Person:
    """One person of a part by the first of their photos."""

    subject: str
    pair: Pair


@dataclass(frozen=True)
class ShownFaces:
    """Six people of a part. `page` is counted from 1, `address` that of their picture."""

    part: str
    people: Sequence[Person]
    count: int
    page: int
    address: str

    @property
    def more(self) -> bool:
        return self.page * PEOPLE_SHOWN < self.count


def shown_faces(record: Dataset, settings: Settings, page: int = 1) -> ShownFaces | None:
    """Return the people of one page, of val where there is one. None for a dataset without images."""
    part = next((part for part in _PART_ORDER if _is_usable(record, part)), None)
    part = part or next((part for part in record.listing.parts if _is_usable(record, part)), None)
    if part is None:
        return None
    people = _people(record, settings, part)
    first = (page - 1) * PEOPLE_SHOWN
    shown = people[first : first + PEOPLE_SHOWN]
    version = hashlib.sha256(repr(_key(shown)).encode()).hexdigest()[:12]
    return ShownFaces(part, shown, len(people), page, f"/ui/faces/{record.id}?page={page}&v={version}")


@router.get("/ui/faces/{dataset_id}")
async def get_faces(
    dataset_id: str,
    service: ServiceDep,
    caller: CallerDep,
    checks: ChecksDep,
    page: Page = 1,
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """Return the picture of six people: VLR, enlarged and HR, one under another."""

    def draw() -> bytes:
        with reading_for(service, caller) as session:
            record = find(session, dataset_id)
        faces = shown_faces(record, service.settings, page)
        people = () if faces is None else faces.people
        key = _key(people)
        with _lock:
            if (known := _sheets.get(key)) is not None:
                return known
        folder = on_disk(dataset_roots(service.settings).of_name(record.name), record.name)
        pairs = [person.pair for person in people]
        request = SheetRequest(path=folder, pairs=pairs, roots=list(service.settings.dataset_roots))
        png = base64.b64decode(run(SHEET, request).png)
        with _lock:
            _sheets[key] = png
        return png

    png = await checks.run(draw)
    etag = f'"{hashlib.sha256(png).hexdigest()[:32]}"'
    headers = {"Cache-Control": "private, max-age=3600", "ETag": etag}  # the address changes with the files
    if etag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(png, media_type="image/png", headers=headers)


def _is_usable(record: Dataset, part: str) -> bool:
    return part in record.listing.parts and record.listing.parts[part].summary is not None


@cached(
    LRUCache(_LISTINGS_KEPT),
    key=lambda record, settings, part: hashkey(record.id, record.listed_at, str(settings.datasets_dir), part),
    lock=Lock(),
)
def _people(record: Dataset, settings: Settings, part: str) -> Sequence[Person]:
    """Return everybody in the part, by name. It lists the names of its files once for each listing of the record."""
    folder = on_disk(dataset_roots(settings).of_name(record.name), record.name)
    split, _ = scan_part(folder / part, SubjectPattern(record.subject_pattern), settings.dataset_roots)
    if split is None:
        return ()
    large = {image.photo: image.path for image in split.hr_images}
    found: dict[str, Person] = {}
    for image in split.vlr_images or split.hr_images:
        if image.subject not in found:
            small = image.path if split.vlr_images else None
            found[image.subject] = Person(image.subject, Pair(vlr=small, hr=large.get(image.photo)))
    return tuple(found[subject] for subject in sorted(found))


def _key(people: Sequence[Person]) -> tuple[object, ...]:
    """The files and when each was written: an equal key has an equal picture."""
    return tuple(
        None if path is None else (str(path), *_written(path))
        for person in people
        for path in (person.pair.vlr, person.pair.hr)
    )


def _written(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
