"""From a weights name or `job:ID` to the weights file and the job that made it."""

from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session

from app.checked_weights.check import check_weights
from app.finetune.checkpoint import WrittenFile
from app.finetune.config import FinetuneConfig
from app.finetune.errors import EdgefaceError
from app.finetune.evaluation import Evaluation
from app.finetune.job_kinds import kind_of
from app.inputs.errors import OutsideRoots, WeightsNotFound
from app.inputs.names import find_weights
from app.jobs import queries
from app.jobs.errors import WeightsJobNotFound
from app.jobs.made_weights import find_made, job_named
from app.models.thresholds import read_evaluation
from app.recognition.errors import ModelNotFound
from app.settings import Settings

FIELD = "model"
"""What errors call the name."""


@dataclass(frozen=True)
class Weights:
    """`name` as a config names them. `sha256` is that of the file; None until it is read. `path` is None where the
    file is gone."""

    name: str
    path: Path | None
    sha256: str | None

    def digest(self) -> str:
        """Raises WeightsError and the errors of app/isolated/errors.py; ModelNotFound where the file is gone."""
        if self.sha256 is not None:
            return self.sha256
        if self.path is None:
            raise ModelNotFound(f"{self.name} is gone", "GET /models lists the models that can be used")
        return check_weights(self.path, "EdgeFace").sha256


@dataclass(frozen=True)
class NamedModel:
    """`before` are the weights that a job started from, None for weights without a job; `evaluation` is that of the
    job, None without one. `why_no_before` says why there is nothing to compare with."""

    weights: Weights
    job_id: str | None = None
    config: FinetuneConfig | None = None
    before: Weights | None = None
    why_no_before: str | None = None
    evaluation: Evaluation | None = None


def find_named(session: Session, settings: Settings, name: str) -> NamedModel:
    """Find the model among those that the session's caller may use.

    Raises ModelNotFound; for a job that made no such weights, or has not, the errors of `find_made`.
    """
    try:
        if (job_id := job_named(name)) is not None:
            return _of_job(session, settings, name, job_id, find_made(session, FIELD, "EdgeFace", job_id))
        path = find_weights(FIELD, "EdgeFace", name, settings, session)
    except (OutsideRoots, WeightsJobNotFound, WeightsNotFound) as error:
        raise ModelNotFound(error.message, "GET /models lists the models that can be used") from None
    return NamedModel(Weights(name, path, None), why_no_before="these weights were made by no job of this service")


def _of_job(session: Session, settings: Settings, name: str, job_id: str, made: WrittenFile) -> NamedModel:
    job = queries.get(session, job_id)
    config = kind_of(job.kind).decode(job.config)
    assert isinstance(config, FinetuneConfig)  # noqa: S101 - no other kind makes EdgeFace weights
    evaluation = read_evaluation(session, settings, job_id)
    before, reason = _before(session, settings, config.edgeface, evaluation)
    weights = Weights(name, settings.artifacts_dir / made.key, made.sha256)
    return NamedModel(weights, job_id, config, before, reason, evaluation)


def _before(
    session: Session, settings: Settings, name: str, evaluation: Evaluation | None
) -> tuple[Weights | None, str | None]:
    """Return the weights that the job started from, or the reason why there are none."""
    used = None if evaluation is None or evaluation.origin is None else evaluation.origin.weights.get("before")
    sha256 = None if used is None else used.sha256
    try:
        path = find_weights(FIELD, "EdgeFace", name, settings, session)
    except EdgefaceError:
        path = None
    if path is None and sha256 is None:
        return None, f"{name}, from which the job started, is gone"
    return Weights(name, path, sha256), None
