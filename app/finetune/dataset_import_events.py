"""The events of the import of a dataset."""

from dataclasses import dataclass

from app.finetune.event_data import EventData
from app.finetune.listing import Listing


@dataclass(frozen=True)
class DatasetImportStarted(EventData):
    """A worker begins to make a dataset of an upload."""

    upload_bytes: int


@dataclass(frozen=True)
class DatasetImported:
    """A dataset was made of an upload; the last event. `left_out` files of the archive are no images. `sha256` is that
    of the archive."""

    name: str
    subject_pattern: str
    listing: Listing
    images: int
    bytes: int
    left_out: int
    sha256: str
