"""The ONNX files of a model and of the weights that it was made from."""

from dataclasses import dataclass

from sqlmodel import Session, col, select

from app.access.acting import acting_for
from app.access.callers import SERVICE
from app.api_models.models import ThresholdView
from app.artifacts import Artifacts
from app.finetune.checkpoint import WrittenFile
from app.finetune.job_kinds import KINDS, MODEL_EXPORT
from app.jobs.checkpoints import find_export
from app.jobs.errors import NotExported
from app.jobs.states import TERMINAL, JobStatus
from app.jobs.tables import Job
from app.models.named import NamedModel, Weights
from app.models.thresholds import find_evaluation_of, threshold_of
from app.recognition.task import OnnxModel
from app.settings import Settings

_ONNX = "onnx"


@dataclass(frozen=True)
class Ready:
    """One network, with its ONNX file; `onnx` is None where the file is missing."""

    weights: Weights
    onnx: OnnxModel | None
    threshold: ThresholdView | None


@dataclass(frozen=True)
class ReadyModel:
    """`before` and `why_no_before` as in NamedModel."""

    after: Ready
    before: Ready | None
    why_no_before: str | None

    @property
    def missing(self) -> list[str]:
        """The names of the weights whose ONNX files are missing."""
        networks = [self.after, *([self.before] if self.before else [])]
        return [each.weights.name for each in networks if each.onnx is None]

    @property
    def files(self) -> tuple[OnnxModel, ...]:
        """Of the model and of the weights before. None may be missing."""
        networks = [self.after, *([self.before] if self.before else [])]
        return tuple(each.onnx for each in networks if each.onnx is not None)


def find_ready(session: Session, settings: Settings, named: NamedModel, *, with_before: bool) -> ReadyModel:
    """Find the ONNX files. Raises what `Weights.digest` raises, and StoredFileMissing."""
    sha256 = named.weights.digest()
    own = None if named.job_id is None else _of_job(session, settings, named.job_id)
    if named.job_id is None:
        found = find_evaluation_of(session, settings, sha256)
        threshold = None if found is None else threshold_of(found[0], before=found[1])
    else:
        threshold = threshold_of(named.evaluation, before=False)
    after = Ready(named.weights, own or _by_sha256(session, settings, sha256), threshold)
    if not with_before or named.before is None:
        return ReadyModel(after, None, named.why_no_before if with_before else None)
    return _with_before(session, settings, named, after, named.before)


def find_waiting(session: Session, name: str) -> Job | None:
    """Return the newest job of the session's caller that has not ended and exports these weights."""
    query = select(Job).where(Job.kind == KINDS[MODEL_EXPORT].stored, col(Job.status).not_in(TERMINAL))
    jobs = session.exec(query.order_by(col(Job.id).desc())).all()
    return next((job for job in jobs if job.config.get("edgeface") == name), None)


def _with_before(session: Session, settings: Settings, named: NamedModel, after: Ready, weights: Weights) -> ReadyModel:
    sha256 = weights.digest()
    onnx = _by_sha256(session, settings, sha256)
    if onnx is None and (weights.path is None or Weights(weights.name, weights.path, None).digest() != sha256):
        return ReadyModel(after, None, f"{weights.name} is no longer the file from which the job started")
    return ReadyModel(after, Ready(weights, onnx, threshold_of(named.evaluation, before=True)), None)


def _of_job(session: Session, settings: Settings, job_id: str) -> OnnxModel | None:
    try:
        return _as_model(find_export(session, job_id, _ONNX), settings)
    except NotExported:
        return None


def _by_sha256(session: Session, settings: Settings, sha256: str) -> OnnxModel | None:
    """The file that a job made of weights with this sha256, whoever submitted it: the caller may use the weights."""
    with acting_for(session, SERVICE):
        query = select(Job).where(Job.kind == KINDS[MODEL_EXPORT].stored, Job.status == JobStatus.SUCCEEDED)
        for job in session.exec(query.order_by(col(Job.id).desc())):
            if (job.facts or {}).get("weights_sha256") == sha256:
                found = _of_job(session, settings, job.id)
                if found is not None:
                    return found
    return None


def _as_model(file: WrittenFile, settings: Settings) -> OnnxModel:
    return OnnxModel(path=Artifacts(settings.artifacts_dir).path_of(file.key), sha256=file.sha256)
