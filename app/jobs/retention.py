"""Retention of the files of jobs.

Rows are deleted first, in one transaction under the job's lock, and their files after the commit. A process killed
between the two leaves files without rows, which app/leftovers.py finds, but never a row without its file.
"""

import contextlib
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from sqlmodel import Session, col, delete, select

from app.database import Database, database_now
from app.deletion import Freed, delete_file
from app.finetune.artifact_names import WRITTEN_AT_THE_END, formats_of
from app.finetune.checkpoint import Checkpoint
from app.finetune.dataset import JobWarning
from app.finetune.job_kinds import KINDS
from app.jobs import queries, stand_in
from app.jobs.deletion import delete_rows
from app.jobs.errors import JobNotFound
from app.jobs.made_weights import named_by_others
from app.jobs.states import TERMINAL, JobStatus
from app.jobs.tables import Artifact, Job, JobLogLine
from app.jobs.transitions import fence
from app.settings import Settings

GRACE_SECONDS = 60.0
"""Seconds for which a checkpoint is kept after a better one: a client may just have received its name."""

SECONDS_A_DAY = 86400.0


@dataclass(frozen=True)
class Retention:
    """Seconds after a job's end for which its states, and its unpinned checkpoints with what was made of them, are
    kept. None: for ever."""

    states: float
    checkpoints: float | None

    @classmethod
    def of(cls, settings: Settings) -> "Retention":
        days = settings.keep_checkpoints_days
        return cls(settings.keep_states_days * SECONDS_A_DAY, days * SECONDS_A_DAY if days else None)


def clean_jobs(database: Database, artifacts_dir: Path, retention: Retention) -> Freed:
    """Run `clean_job` for every job that has something to delete."""
    with database.reading() as session:
        now = fence.clock(session)
        artifacts: defaultdict[str, list[Artifact]] = defaultdict(list)
        for artifact in session.exec(select(Artifact)):
            artifacts[artifact.job_id].append(artifact)
        jobs = session.exec(select(Job).where(col(Job.id).in_(select(Artifact.job_id)))).all()
        named = named_by_others(session)
        due = [job.id for job in jobs if _expendable(job, artifacts[job.id], now, retention, named)]
    return sum((clean_job(database, artifacts_dir, job_id, retention) for job_id in due), start=Freed())


def clean_job(database: Database, artifacts_dir: Path, job_id: str, retention: Retention) -> Freed:
    """Delete the job's superseded checkpoints and its expired files.

    Safe in any process at any time, also while the job runs.
    """
    with database.writing() as session:
        job = queries.locked(session, job_id)
        # Under the lock, which a submission that names this job's weights takes too.
        named = named_by_others(session)
        going = _expendable(job, queries.artifacts(session, job_id), fence.clock(session), retention, named)
        keys = [artifact.key for artifact in going]
        fence.forget_artifacts(session, keys)
        if job.checkpoint is not None and any(file.key in keys for file in job.checkpoint.files):
            _replace_expired(session, job, job.checkpoint)
        if measured := sorted(artifact.kind for artifact in going if artifact.kind in formats_of(*WRITTEN_AT_THE_END)):
            _tell_expired(session, job, measured)
    # A training that rolled back may be rewriting a file of the same name: keep that one.
    return sum((delete_file(artifacts_dir / key, older_than=GRACE_SECONDS) for key in keys), start=Freed())


def forget_dry_runs(database: Database, artifacts_dir: Path, retention: Retention) -> None:
    """Delete the rows of dry runs without files that ended longer ago than states are kept, and at least a day ago.

    Their results hold only for the state of the machine at that time.
    """
    keep = max(retention.states, SECONDS_A_DAY)

    def is_old(session: Session, job: Job) -> bool:
        ended = JobStatus(job.status).terminal and job.finished_at is not None
        return ended and fence.clock(session) - (job.finished_at or 0.0) > keep

    with database.reading() as session:
        stored = [kind.stored for kind in KINDS.values() if kind.dry_run_of is not None]
        dry_runs = session.exec(select(Job).where(col(Job.kind).in_(stored))).all()
        old = [job.id for job in dry_runs if is_old(session, job) and not (artifacts_dir / job.id).exists()]
    for job_id in old:
        with contextlib.suppress(JobNotFound), database.writing() as session:
            # Check again under the lock: a user may just have retried the job.
            if is_old(session, queries.locked(session, job_id)):
                delete_rows(session, job_id)


def forget_logs(database: Database, retention: Retention) -> int:
    """Delete the logs of jobs that ended longer ago than checkpoints are kept. Return the number of lines."""
    if retention.checkpoints is None:
        return 0
    old = col(Job.finished_at) < database_now() - retention.checkpoints
    ended = select(Job.id).where(col(Job.status).in_(TERMINAL), old)
    with database.writing() as session:
        lines = delete(JobLogLine).where(col(JobLogLine.job_id).in_(ended)).returning(col(JobLogLine.number))
        return len(session.execute(lines.execution_options(synchronize_session=False)).all())


def _expendable(
    job: Job, artifacts: list[Artifact], now: float, retention: Retention, named: Collection[str]
) -> list[Artifact]:
    """Return the files of the job that nothing needs any more. A job `named` by another one does not expire."""
    states = [artifact for artifact in artifacts if artifact.kind == "state"]
    ended_for = now - job.finished_at if JobStatus(job.status).terminal and job.finished_at is not None else None
    # A succeeded job is never retried.
    useless = job.status == JobStatus.SUCCEEDED or (ended_for is not None and ended_for > retention.states)
    old_states = states if useless else []
    old = ended_for is not None and retention.checkpoints is not None and ended_for > retention.checkpoints
    expired = old and job.id not in named

    needed = _keys(None if expired else job.checkpoint)
    if not useless:
        for state in states:
            needed |= _keys(state.resume_point.checkpoint if state.resume_point else None)
    old_checkpoints = [
        artifact
        for artifact in artifacts
        if artifact.kind in formats_of("checkpoint")
        and not artifact.pinned
        and artifact.key not in needed
        and now - _superseded_at(artifact, artifacts) > GRACE_SECONDS
    ]
    return old_states + old_checkpoints + (_measured_of_no_pin(artifacts, now) if expired else [])


def _keys(checkpoint: Checkpoint | None) -> set[str]:
    return set() if checkpoint is None else {file.key for file in checkpoint.files}


def _measured_of_no_pin(artifacts: list[Artifact], now: float) -> list[Artifact]:
    """Return the files of the evaluation and the export, except those of pinned checkpoints of a training."""
    pinned = {artifact.epoch for artifact in artifacts if artifact.kind in formats_of("checkpoint") and artifact.pinned}
    return [
        artifact
        for artifact in artifacts
        if artifact.kind in formats_of(*WRITTEN_AT_THE_END)
        and artifact.epoch not in pinned
        and now - artifact.created_at > GRACE_SECONDS
    ]


def _superseded_at(checkpoint: Artifact, artifacts: list[Artifact]) -> float:
    """Return the time of the next checkpoint, or of this one without a next."""
    newer = (
        artifact.created_at
        for artifact in artifacts
        if artifact.kind == checkpoint.kind and artifact.created_at > checkpoint.created_at
    )
    return min(newer, default=checkpoint.created_at)


def _tell_expired(session: Session, job: Job, measured: list[str]) -> None:
    fence.add_warning(
        session,
        job.id,
        JobWarning(
            code="evaluation_expired",
            message=f"its {' and '.join(measured)} {'were' if len(measured) > 1 else 'was'} deleted because the job "
            "ended longer ago than EDGEFACE_KEEP_CHECKPOINTS_DAYS",
        ),
    )


def _replace_expired(session: Session, job: Job, expired: Checkpoint) -> None:
    stand_in.put_in_place(session, job)
    instead = f"; epoch {job.checkpoint.epoch}, which is kept, replaces it" if job.checkpoint else ""
    session.flush()
    fence.add_warning(
        session,
        job.id,
        JobWarning(
            code="checkpoint_expired",
            message=f"the checkpoint of epoch {expired.epoch} was deleted because the job ended longer ago than "
            f"EDGEFACE_KEEP_CHECKPOINTS_DAYS{instead}; pin checkpoints to keep them",
        ),
    )
