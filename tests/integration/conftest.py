"""Databases of both kinds, and one chain of helpers that bring a job one state further each."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlmodel import col, update

from app.api_models.attempts import ResumeReceipt
from app.database import Database, database_now
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.config import FinetuneConfig
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.errors import ErrorReport
from app.finetune.events import EvaluationStarted, StateSaved
from app.jobs import queries
from app.jobs.resume import ResumePoint
from app.jobs.states import JobStatus
from app.jobs.tables import Artifact, Job
from app.jobs.transitions import attempts, recording, submission, wishes
from app.jobs.transitions.fence import Claim
from app.settings import Settings
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.servers import postgresql_database, postgresql_server

CONFIG = FinetuneConfig.model_validate({"dataset": "faces"})
LEASE_SECONDS = 30.0
STEPS_PER_EPOCH = 10
LOST = ErrorReport(code="trainer_died", message="the training process was killed", hint="look", blame="service")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the tables and no row, to be copied: migrating anew for each test takes longer than the test."""
    path = tmp_path_factory.mktemp("template") / "edgeface.sqlite"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def var_dir(tmp_path: Path, sqlite_template: Path) -> Path:
    """A service's folder with nothing in it but a copy of that database."""
    folder = tmp_path / "var"
    folder.mkdir()
    shutil.copyfile(sqlite_template, folder / "edgeface.sqlite")
    return folder


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    """Of a service with the dataset `faces` and the weights edgeface_xxs.pt. A test file may have its own."""
    settings = Settings(var_dir=var_dir)
    settings.make_directories()
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture(scope="session")
def postgresql_template(postgresql: str) -> Iterator[str]:
    """The name of such a database on PostgreSQL."""
    with postgresql_database(postgresql) as url:
        _migrate(url)
        yield make_url(url).database or ""


@contextmanager
def fresh_database(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """URL of a `sqlite` or `postgresql` database; with the tables, where the test asks for `database`."""
    migrated = "database" in request.fixturenames
    if kind == "sqlite":
        path = folder / "edgeface.sqlite"
        if migrated:
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        yield f"sqlite:///{path}"
        return
    template = request.getfixturevalue("postgresql_template") if migrated else None
    with postgresql_database(request.getfixturevalue("postgresql"), template) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, request, tmp_path) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def _migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()


def submit(database: Database, *, priority: int = 0, idempotency_key: str | None = None) -> str:
    with database.writing() as session:
        return submission.submit(session, CONFIG, [], priority=priority, idempotency_key=idempotency_key).id


def claim_next(database: Database, worker_id: str) -> Claim | None:
    """As a worker does it: look for the next job, then take it, unless another has."""
    with database.reading() as session:
        job = queries.next_queued(session)
    if job is None:
        return None
    with database.writing() as session:
        return attempts.claim(session, job.id, worker_id, LEASE_SECONDS)


def claim(database: Database, worker_id: str = "worker-1") -> Claim:
    claimed = claim_next(database, worker_id)
    assert claimed is not None
    return claimed


def preparing(database: Database) -> Claim:
    submit(database)
    claimed = claim(database)
    begin(database, claimed, None)
    return claimed


def running(database: Database) -> Claim:
    claimed = preparing(database)
    with database.writing() as session:
        recording.record_running(session, claimed, EvaluationStarted("cpu"))
    return claimed


def cancelling(database: Database) -> Claim:
    claimed = running(database)
    with database.writing() as session:
        wishes.request_cancel(session, claimed.job_id)
    return claimed


def pausing(database: Database) -> Claim:
    claimed = running(database)
    with database.writing() as session:
        wishes.request_pause(session, claimed.job_id)
    return claimed


def paused(database: Database) -> Claim:
    claimed = pausing(database)
    with database.writing() as session:
        attempts.hand_back(session, claimed, "paused by a person")
    return claimed


def succeeded(database: Database) -> Claim:
    claimed = running(database)
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.SUCCEEDED, verdict="better")
    return claimed


def failed(database: Database) -> Claim:
    claimed = running(database)
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.FAILED, LOST)
    return claimed


def cancelled(database: Database) -> Claim:
    claimed = cancelling(database)
    with database.writing() as session:
        attempts.finish(session, claimed, JobStatus.CANCELLED)
    return claimed


_CHAIN: dict[JobStatus, Callable[[Database], Claim]] = {
    JobStatus.PREPARING: preparing,
    JobStatus.RUNNING: running,
    JobStatus.CANCELLING: cancelling,
    JobStatus.PAUSING: pausing,
    JobStatus.PAUSED: paused,
    JobStatus.SUCCEEDED: succeeded,
    JobStatus.FAILED: failed,
    JobStatus.CANCELLED: cancelled,
}


def job_that_is(database: Database, state: JobStatus) -> str:
    return submit(database) if state is JobStatus.QUEUED else _CHAIN[state](database).job_id


def begin(database: Database, claimed: Claim, point: ResumePoint | None) -> ResumeReceipt | None:
    with database.writing() as session:
        return attempts.begin_attempt(session, claimed, point)


def metrics_of(stage: int, epoch: int, *, best: bool = False) -> EpochMetrics:
    """As the trainer emits them."""
    metrics = {
        "stage": stage,
        "epoch": epoch,
        "epochs": 5,
        "train_loss": 9.0,
        "train_accuracy": 0.5,
        "head_lr": 1e-3,
        "seconds": 1.0,
        "images_per_second": 100.0,
        "best": best,
    }
    return EpochMetrics.model_validate(metrics)


def state_of(claimed: Claim, stage: int, epoch: int, step: int, checkpoint: Checkpoint | None) -> StateSaved:
    """A saved state in which `step` steps follow `epoch` epochs of `stage`. Stage 1 has two epochs."""
    steps_done = (epoch + (2 if stage == 2 else 0)) * STEPS_PER_EPOCH + step
    key = f"{claimed.job_id}/attempt-{claimed.attempt}/state-{steps_done}.pt"
    return StateSaved(
        file=WrittenFile(Path(key), 1000 + steps_done, f"{steps_done:064x}"),
        stage=2 if stage == 2 else 1,
        epoch=epoch,
        step=step,
        steps_done=steps_done,
        progress=steps_done / 100,
        best=checkpoint,
    )


def checkpoint_of(claimed: Claim, epoch: int) -> Checkpoint:
    folder = f"{claimed.job_id}/attempt-{claimed.attempt}/best-epoch-{epoch:03}"
    full, backbone = (
        WrittenFile(Path(f"{folder}/{kind}.pth"), 5_000_000_000, f"{epoch:064x}") for kind in ("full", "backbone")
    )
    return Checkpoint(epoch=epoch, score=0.9, full=full, backbone=backbone)


def train_epoch(database: Database, claimed: Claim, stage: int, epoch: int) -> None:
    with database.writing() as session:
        recording.record_epoch(session, claimed, metrics_of(stage, epoch))


def write_checkpoint(database: Database, claimed: Claim, epoch: int, *, pinned: bool = False) -> Checkpoint:
    checkpoint = checkpoint_of(claimed, epoch)
    with database.writing() as session:
        recording.record_checkpoint(session, claimed, checkpoint)
        if pinned:
            session.execute(update(Artifact).where(col(Artifact.epoch) == epoch).values(pinned=True))
    return checkpoint


def save_state(
    database: Database,
    claimed: Claim,
    stage: int,
    epoch: int,
    step: int = 0,
    checkpoint: Checkpoint | None = None,
) -> list[str]:
    """The keys that it supersedes."""
    with database.writing() as session:
        return recording.record_state(session, claimed, state_of(claimed, stage, epoch, step, checkpoint))


def resume_points(database: Database, job_id: str) -> list[ResumePoint]:
    with database.reading() as session:
        return queries.resume_points(session, job_id)


def job_of(database: Database, job_id: str) -> Job:
    with database.reading() as session:
        return queries.get(session, job_id)


def run_out_lease(database: Database, job_id: str) -> None:
    """As if the worker had been silent for the length of its lease."""
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(lease_expires_at=database_now() - 0.001))


def let_backoff_pass(database: Database, job_id: str) -> None:
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(retry_at=database_now() - 0.001))


def status(database: Database, job_id: str) -> str:
    with database.reading() as session:
        return queries.get(session, job_id).status


def event_kinds(database: Database, job_id: str) -> list[str]:
    with database.reading() as session:
        return [event.kind for event in queries.events_after(session, job_id, 0)]
