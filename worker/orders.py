"""From a job's row to the order of its trainer: the config decoded and the inputs found, once, and the saved state that
the attempt resumes from."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlmodel import Session

from app.artifacts import Artifacts
from app.finetune.checkpoint import WrittenFile
from app.finetune.errors import ConfigError
from app.finetune.field_messages import field_messages
from app.finetune.job_config import JobConfig
from app.finetune.job_dataset import JobDataset
from app.finetune.job_kinds import kind_of
from app.inputs.kinds import find_inputs, read_as_submitted
from app.jobs import queries
from app.jobs.attempt_errors import FilesAway
from app.jobs.resume import ResumePoint
from app.jobs.tables import Job
from app.jobs.transitions import attempts
from app.jobs.transitions.fence import Claim
from app.logs import LogSetup
from app.settings import Settings
from app.shown_roots import shown_paths
from worker.checked_copies import keep_copies, named_weights
from worker.fenced_database import FencedDatabase
from worker.gpu.leases import GpuLease
from worker.kinds import WORKER_KINDS, Place, WorkerKind
from worker.lease import LeaseClock
from worker.messages import JobFiles, Order
from worker.training.storage.paths import ResumeFrom

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReadJob:
    """A job as a worker reads it before it claims it. `inputs` are those of app/inputs/kinds.py."""

    kind: WorkerKind
    config: JobConfig
    inputs: Any
    has_prediction: bool


def read_job(session: Session, job: Job, settings: Settings) -> ReadJob:
    """Raises ConfigError where this version does not accept the config, and the errors of the inputs."""
    kind = kind_of(job.kind)
    try:
        config = kind.decode(job.config)
    except ValidationError as invalid:
        wrong = "; ".join(f"{field}: {message}" for field, message in field_messages(invalid.errors(), kind.config))
        raise ConfigError(f"this version does not accept the job's config: {wrong}", "submit it again") from None
    datasets = [JobDataset.model_validate(each) for each in job.datasets or []]
    return ReadJob(
        kind=WORKER_KINDS[kind.name],
        config=config,
        inputs=read_as_submitted(find_inputs(config, settings, session), datasets, settings),
        has_prediction=job.predicted is not None,
    )


@dataclass(frozen=True)
class AttemptContext:
    """The resources of one attempt. `folder` is the one that no other attempt writes to."""

    claim: Claim
    settings: Settings
    artifacts: Artifacts
    database: FencedDatabase
    folder: Path
    reserved: Path
    lease: LeaseClock
    gpu: int
    gpu_lease: GpuLease | None


def make_order(job: ReadJob, attempt: AttemptContext) -> Order[JobConfig, JobFiles]:
    """Begin the attempt, at the newest state that is whole or from the start, and return its order.

    Raises FilesAway, the errors of `keep_copies`, and OSError.
    """
    point = _newest_whole_point(attempt) if job.kind.resumable else None
    attempt.database.write(lambda session: attempts.begin_attempt(session, attempt.claim, point))
    resume = None if point is None else _resume_from(point, attempt.artifacts)
    settings = attempt.settings
    compiled_dir = settings.compiled_dir if settings.compile else None
    attempt.database.renew_lease()
    copies = keep_copies(named_weights(job.config, job.inputs), settings.checked_weights_dir)
    place = Place(attempt.folder, settings.prepared_dir, resume, attempt.claim.job_id, compiled_dir, copies)
    return Order(
        run=job.kind.run,
        config=job.config,
        files=job.kind.files(job.inputs, place),
        inputs=tuple(path for path in vars(job.inputs).values() if isinstance(path, Path)),
        roots=settings.readable_roots,
        lease=attempt.lease,
        save_every_seconds=settings.save_every_seconds,
        reserved=attempt.reserved,
        gpu=attempt.gpu,
        gpu_lease=attempt.gpu_lease,
        predict_duration=job.kind.predicts_duration and not job.has_prediction,
        logs=_log_setup(attempt),
    )


def _log_setup(attempt: AttemptContext) -> LogSetup:
    claim = attempt.claim
    worker_id = claim.worker_id.rsplit("/", 1)[0]  # without the slot
    fields: dict[str, str | int] = {"worker": worker_id, "job": claim.job_id, "attempt": claim.attempt}
    return LogSetup("trainer", attempt.settings.log_format, shown_paths(attempt.settings), fields)


def _newest_whole_point(attempt: AttemptContext) -> ResumePoint | None:
    """Return None where the training has to start from the beginning.

    Either nothing was saved, or the best checkpoint is damaged: without it no later epoch could be compared with the
    best one. Raises FilesAway.
    """
    claim, artifacts = attempt.claim, attempt.artifacts
    points = attempt.database.read(lambda session: queries.resume_points(session, claim.job_id))
    for point in points:
        files = [point.state, *(point.checkpoint.files if point.checkpoint else ())]
        if all(_is_whole(file, attempt) for file in files):
            return point
        _log.warning("job %s: %s or its checkpoint is damaged", claim.job_id, point.state.key)
    if points and not any(artifacts.exists(point.state.key) for point in points):
        raise FilesAway(claim.job_id, attempt.settings.artifacts_dir)
    return None


def _is_whole(file: WrittenFile, attempt: AttemptContext) -> bool:
    attempt.database.renew_lease()  # a large file on a slow drive takes its time
    return attempt.artifacts.is_whole(file.key, file.size, file.sha256)


def _resume_from(point: ResumePoint, artifacts: Artifacts) -> ResumeFrom:
    best = point.checkpoint and point.checkpoint.relocated(lambda key: artifacts.path_of(key.as_posix()))
    return ResumeFrom(artifacts.path_of(point.state.key), best)
