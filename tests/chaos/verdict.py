"""What is left after the chaos, compared with an undisturbed run."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import torch
from sqlmodel import Session

from app.api_models.job import JobView
from app.artifacts import Artifacts
from app.database import Database
from app.jobs import queries
from app.jobs.search import find_jobs
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from tests.chaos.harness import Submitted
from tests.chaos.services import Installation
from tests.chaos.tokens import Tokens

_CLOCK_SLACK_SECONDS = 0.05


@dataclass
class Verdict:
    """Jobs that were lost, ran twice at once, never ended, have a damaged file, or learned something else."""

    kills: int
    jobs: int
    kinds: Counter[str]
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)

    def line(self) -> str:
        names = ("lost", "doubled", "stuck", "corrupt", "unequal")
        return f"kills={self.kills} " + " ".join(f"{name}={len(getattr(self, name))}" for name in names)

    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.stuck or self.corrupt or self.unequal)


def judge(installation: Installation, undisturbed: list[JobView], submitted: Submitted) -> Verdict:
    database = Database(installation.settings.database_url)
    kinds = Counter(Tokens(installation.folder / "chaos").spent())
    verdict = Verdict(kinds.total(), len(submitted.config_of_job), kinds)
    verdict.doubled += [path.name for path in (installation.folder / "chaos" / "doubled").iterdir()]
    with database.reading() as session:
        known = {job.id for job in find_jobs(session, limit=10_000).jobs}
        verdict.lost += sorted(set(submitted.job_of_key.values()) - known)
        extra = known - set(submitted.job_of_key.values()) - {job.id for job in undisturbed}
        verdict.doubled += [f"{job_id}: nobody asked for it" for job_id in extra]
        metrics = [_metrics(session, queries.get(session, job.id)) for job in undisturbed]
        for job_id, number in submitted.config_of_job.items():
            if job_id in known:
                job = queries.get(session, job_id)
                _judge_job(session, job, installation, verdict)
                if job.status == JobStatus.SUCCEEDED:
                    same = undisturbed[number].checkpoint
                    assert same is not None
                    assert same.backbone is not None
                    _compare(session, job, same.backbone.sha256, metrics[number], verdict)
    database.close()
    return verdict


def _judge_job(session: Session, job: Job, installation: Installation, verdict: Verdict) -> None:
    status = JobStatus(job.status)
    if not status.terminal:
        verdict.stuck.append(f"{job.id}: {status}")
    elif status is not JobStatus.SUCCEEDED:
        verdict.lost.append(f"{job.id}: {status}, {job.error}")
    events = queries.events_after(session, job.id, 0, limit=100_000)
    if [event.number for event in events] != list(range(1, job.event_count + 1)):
        verdict.corrupt.append(f"{job.id}: gaps between its events")
    artifacts = Artifacts(installation.settings.artifacts_dir)
    for row in queries.artifacts(session, job.id):
        if not artifacts.is_whole(row.key, row.size, row.sha256):
            verdict.corrupt.append(row.key)
        elif row.kind in ("full", "backbone"):
            torch.load(artifacts.path_of(row.key), weights_only=True)
    verdict.doubled += _late_writes(session, job, installation)


def _late_writes(session: Session, job: Job, installation: Installation) -> list[str]:
    """Files that an attempt wrote after the next one had begun."""
    begun = {attempt.number: attempt.started_at for attempt in queries.attempts(session, job.id)}
    late = []
    for folder in (installation.settings.artifacts_dir / job.id).glob("attempt-*"):
        next_begun = begun.get(int(folder.name.removeprefix("attempt-")) + 1)
        if next_begun is not None:
            files = [path for path in folder.rglob("*") if path.is_file()]
            late += [str(path) for path in files if path.stat().st_mtime > next_begun + _CLOCK_SLACK_SECONDS]
    return late


def _compare(session: Session, job: Job, sha256: str, metrics: list[dict[str, Any]], verdict: Verdict) -> None:
    assert job.checkpoint is not None
    if job.checkpoint.files[-1].sha256 != sha256:
        verdict.unequal.append(f"{job.id}: other weights")
    if (found := _metrics(session, job)) != metrics:
        verdict.unequal.append(f"{job.id}: other metrics: {found} instead of {metrics}")


def _metrics(session: Session, job: Job) -> list[dict[str, Any]]:
    timing = {"job_id", "attempt", "seconds", "images_per_second", "created_at"}
    return [metric.model_dump(exclude=timing) for metric in queries.metrics(session, job)]
