"""Errors of the records of datasets. All errors are drawn in app/finetune/error_tree.py."""

from collections.abc import Sequence

from app.finetune.counted import counted
from app.finetune.errors import Blame, EdgefaceError, name_some, shortened


class DatasetNotRegistered(EdgefaceError):
    code = "dataset_not_registered"
    blame: Blame = "request"

    def __init__(self, name: str, registered: Sequence[str], sheet_of: str | None = None) -> None:
        """`sheet_of` is the id of the record whose sheet was asked for by the name of its dataset."""
        has = f" ({name_some(registered)})" if registered else ""
        hint = f"GET /datasets lists them{has}; POST /datasets registers one"
        if sheet_of is not None:
            hint = f"a sheet is found by the id of the record: GET /datasets/{sheet_of}/sheet"
        super().__init__(f"there is no record of a dataset {shortened(name)!r}", hint)


class NoSheet(EdgefaceError):
    code = "no_sheet"
    blame: Blame = "request"

    def __init__(self, name: str, pages: int) -> None:
        has = f"has {counted(pages, 'page')}" if pages else "has no sheet"
        super().__init__(
            f"the check of dataset {name} {has} of suspicious images",
            "GET /datasets/{dataset} says whether it was checked with EdgeFace weights and what was found",
        )


class DatasetNotUploaded(EdgefaceError):
    code = "dataset_not_uploaded"
    blame: Blame = "request"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"dataset {shortened(name)!r} did not come by an upload: the service does not delete its files",
            "leave out files=true to remove only the record; delete the folder by hand",
        )
