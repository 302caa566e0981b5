"""The results of evaluations, as the pages show them."""

from threading import Lock

from cachetools import LRUCache, cached
from cachetools.keys import hashkey
from pydantic import BaseModel, ConfigDict, ValidationError

from app.artifacts import Artifacts
from app.finetune.evaluation import Change, EvaluatedOn, Evaluation
from app.jobs.errors import StoredFileMissing, StoredFileUnreadable
from app.jobs.tables import Artifact

RESULTS_KEPT = 2048


class Result(BaseModel):
    """The part of an `Evaluation` that a list shows: see app/finetune/evaluation.py."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    changes: list[Change]
    recommended_threshold: float | None
    people: EvaluatedOn

    @property
    def change(self) -> Change | None:
        """The effect of the fine-tuning, else that of the DSR; None without a baseline."""
        return self.changes[0] if self.changes else None


@cached(LRUCache(RESULTS_KEPT), key=lambda _, file: hashkey(file.key, file.sha256), lock=Lock())
def _read_once(artifacts: Artifacts, file: Artifact) -> Result | None:
    """A file of this sha256 never changes."""
    try:
        return Result.model_validate_json(artifacts.path_of(file.key).read_bytes())
    except ValidationError:  # of another version
        return None


def read_result(artifacts: Artifacts, file: Artifact | None) -> Result | None:
    """Return the result in an evaluation's file. None without a file, or with one that cannot be read now."""
    if file is None:
        return None
    try:
        return _read_once(artifacts, file)
    except (StoredFileMissing, StoredFileUnreadable, OSError):
        return None


def read_evaluation(artifacts: Artifacts, file: Artifact | None) -> Evaluation | None:
    """Return the whole evaluation, as `read_result`."""
    if file is None:
        return None
    try:
        return Evaluation.model_validate_json(artifacts.path_of(file.key).read_bytes())
    except (StoredFileMissing, StoredFileUnreadable, OSError, ValidationError):
        return None
