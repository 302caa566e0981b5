"""What is deleted, what never is, whoever does it and wherever it is killed."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from sqlmodel import select

from app.cleaner import clean
from app.database import Database
from app.deletion import Freed
from app.finetune.artifact_names import COMPILED_MARKER
from app.finetune.job_kinds import DRY_RUN, kind_of
from app.jobs import pins, retention
from app.jobs.errors import JobNotFound
from app.jobs.retention import Retention, clean_job
from app.jobs.states import JobStatus
from app.jobs.tables import Attempt, Job, JobEvent, WorkerSeen
from app.jobs.transitions import fence, rounds, wishes
from app.prepared_faces import find_prepared
from app.settings import Settings
from tests.support.job_files import LONG_AGO, JobFiles, make_old, write_old, write_prepared
from worker.training.data.face_cache import PreparedFaces
from worker.training.data.preprocess import Faces
from worker.training.runtime.control import Control

FOR_EVER = Retention(states=float("inf"), checkpoints=None)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    settings = Settings(var_dir=tmp_path / "var", database_url=database_url)
    settings.make_directories()
    return settings


@pytest.fixture
def job(database: Database, settings: Settings) -> JobFiles:
    return JobFiles(database, settings.artifacts_dir)


def there(*paths: Path) -> list[bool]:
    return [path.exists() for path in paths]


def superseded(job: JobFiles) -> Freed:
    return clean_job(job.database, job.artifacts_dir, job.id, FOR_EVER)


def test_a_checkpoint_that_a_better_one_replaced_goes_after_a_while(job: JobFiles) -> None:
    first, second, third = job.checkpoint(1), job.checkpoint(2), job.checkpoint(3)
    for path in third:
        job.make_row_new(path)
    # The third came just now: somebody may be about to open the second.
    assert superseded(job) == Freed(2, len(b"full 1backbone 1"))
    assert there(*first, *second, *third) == [False, False, True, True, True, True]
    assert job.listed() == {job.key_of(path) for path in (*second, *third)}
    assert superseded(job) == Freed()


def test_what_is_pinned_or_named_by_a_kept_state_stays(job: JobFiles) -> None:
    pinned = job.checkpoint(1)
    with job.database.writing() as session:
        pins.pin_best(session, job.id)
    of_state = job.checkpoint(2)
    job.state(2)
    unneeded, best = job.checkpoint(3), job.checkpoint(4)
    superseded(job)
    assert there(*pinned, *of_state, *best) == [True] * 6
    assert there(*unneeded) == [False] * 2

    with job.database.writing() as session:
        pins.unpin(session, job.id)
    superseded(job)
    assert there(*pinned, *of_state, *best) == [False, False, True, True, True, True]


def test_a_file_written_anew_under_a_forgotten_name_stays(job: JobFiles) -> None:
    first, _ = job.checkpoint(1), job.checkpoint(2)
    first[0].write_bytes(b"the training went back and wrote it again")
    superseded(job)
    assert there(*first) == [True, False]


def test_states_of_a_job_that_succeeded_go_at_once(job: JobFiles, settings: Settings) -> None:
    best, state = job.checkpoint(1), job.state(1)
    job.end(JobStatus.SUCCEEDED, days_ago=0.1)
    clean(job.database, settings)
    assert there(state, *best) == [False, True, True]


@pytest.mark.parametrize("ended", [JobStatus.FAILED, JobStatus.CANCELLED])
def test_states_of_ended_jobs_go_when_they_are_old(job: JobFiles, settings: Settings, ended: JobStatus) -> None:
    best, state = job.checkpoint(1), job.state(1)
    job.end(ended, days_ago=6.9)
    clean(job.database, settings)
    assert there(state, *best) == [True] * 3
    settings.keep_states_days = 6.8
    assert clean(job.database, settings).files == 1
    assert there(state, *best) == [False, True, True]
    assert job.row().checkpoint is not None


@pytest.mark.parametrize("status", [JobStatus.PAUSED, JobStatus.QUEUED, JobStatus.PREPARING])
def test_a_job_that_has_not_ended_keeps_its_states(job: JobFiles, settings: Settings, status: JobStatus) -> None:
    best, state = job.checkpoint(1), job.state(1)
    if status is not JobStatus.PREPARING:
        job.end(status)
    settings.keep_states_days = 0
    settings.keep_checkpoints_days = 1e-6
    clean(job.database, settings)
    assert job.row().status == status
    assert there(state, *best) == [True] * 3


def test_checkpoints_are_kept_for_ever_unless_a_setting_says_otherwise(job: JobFiles, settings: Settings) -> None:
    best = job.checkpoint(1)
    job.end(JobStatus.SUCCEEDED, days_ago=1000)
    clean(job.database, settings)
    assert there(*best) == [True] * 2

    settings.keep_checkpoints_days = 30
    clean(job.database, settings)
    assert there(*best) == [False] * 2
    row = job.row()
    assert row.checkpoint is None
    assert [warning["code"] for warning in row.warnings] == ["checkpoint_expired"]
    assert "epoch 1" in row.warnings[0]["message"]
    assert job.kinds_of_events()[-1] == "warning"
    assert job.listed() == set()


def test_a_pinned_checkpoint_stands_in_for_an_expired_one(job: JobFiles, settings: Settings) -> None:
    pinned = job.checkpoint(1)
    with job.database.writing() as session:
        pins.pin_best(session, job.id)
    job.checkpoint(2)
    job.end(JobStatus.SUCCEEDED, days_ago=31)
    settings.keep_checkpoints_days = 30
    clean(job.database, settings)
    row = job.row()
    assert there(*pinned) == [True] * 2
    assert row.checkpoint is not None
    assert row.checkpoint.full.key == job.key_of(pinned[0])
    assert "epoch 1, which is kept, replaces it" in row.warnings[0]["message"]


def test_what_was_measured_goes_with_its_checkpoint(job: JobFiles, settings: Settings) -> None:
    checkpoint, measured = job.checkpoint(3), job.evaluation(3)
    job.end(JobStatus.SUCCEEDED, days_ago=31)
    clean(job.database, settings)
    assert there(*checkpoint, *measured) == [True] * 4

    settings.keep_checkpoints_days = 30
    clean(job.database, settings)
    assert there(*checkpoint, *measured) == [False] * 4
    assert job.listed() == set()
    told = {warning["code"]: warning["message"] for warning in job.row().warnings}
    assert told.keys() == {"checkpoint_expired", "evaluation_expired"}
    assert "its evaluation and report were deleted" in told["evaluation_expired"]
    clean(job.database, settings)
    assert len(job.row().warnings) == 2


def test_what_was_measured_of_a_pinned_checkpoint_stays(job: JobFiles, settings: Settings) -> None:
    checkpoint, measured = job.checkpoint(3), job.evaluation(3)
    with job.database.writing() as session:
        pins.pin_best(session, job.id)
    job.end(JobStatus.SUCCEEDED, days_ago=31)
    settings.keep_checkpoints_days = 30
    clean(job.database, settings)
    assert there(*checkpoint, *measured) == [True] * 4
    assert job.row().warnings == []
    with job.database.writing() as session:
        pins.unpin(session, job.id)
    clean(job.database, settings)
    assert there(*checkpoint, *measured) == [False] * 4


def test_an_evaluation_on_its_own_goes_as_long_after_its_end(job: JobFiles, settings: Settings) -> None:
    measured = job.evaluation(0)
    job.end(JobStatus.SUCCEEDED, days_ago=29)
    settings.keep_checkpoints_days = 30
    clean(job.database, settings)
    assert there(*measured) == [True] * 2
    settings.keep_checkpoints_days = 28
    clean(job.database, settings)
    assert there(*measured) == [False] * 2
    assert [warning["code"] for warning in job.row().warnings] == ["evaluation_expired"]


def test_a_job_that_can_be_retried_keeps_the_checkpoint_of_its_states(job: JobFiles, settings: Settings) -> None:
    best, state = job.checkpoint(1), job.state(1)
    job.end(JobStatus.FAILED, days_ago=5)
    settings.keep_checkpoints_days = 1
    clean(job.database, settings)
    assert there(state, *best) == [True] * 3
    settings.keep_states_days = 4
    clean(job.database, settings)
    assert there(state, *best) == [False] * 3


def test_states_of_a_job_that_succeeded_keep_no_checkpoint(job: JobFiles, settings: Settings) -> None:
    first, _, second = job.checkpoint(1), job.state(1), job.checkpoint(2)
    superseded(job)
    assert there(*first, *second) == [True] * 4
    job.end(JobStatus.SUCCEEDED)
    clean(job.database, settings)
    assert there(*first, *second) == [False, False, True, True]


@pytest.mark.postgresql
def test_killed_between_rows_and_files_it_leaves_no_row_without_its_file(
    job: JobFiles, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = job.checkpoint(1), job.checkpoint(2)

    def die(*_: object, **__: object) -> Freed:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(retention, "delete_file", die)
        with pytest.raises(KeyboardInterrupt):
            superseded(job)
    assert there(*first) == [True] * 2
    assert job.listed() == {job.key_of(path) for path in second}
    job.end(JobStatus.SUCCEEDED)
    clean(job.database, settings)
    assert there(*first, *second) == [False, False, True, True]


def leave_behind(job: JobFiles, attempt: int) -> list[Path]:
    """One of each kind of file that a killed attempt leaves."""
    folder = job.artifacts_dir / job.id / f"attempt-{attempt}"
    names = (
        "best-epoch-009/edgeface_finetuned.pth",
        "best-epoch-009/.edgeface_backbone.pth.1a2b3c4d.partial",
        ".state-00000009-2.pth.1a2b3c4d.partial",
        "state-00000009-2.pth",  # of a training that went back
        ".reserved",
        ".evaluation.json.1a2b3c4d.partial",
        "report.html",  # of an attempt that was killed before it told
    )
    return [write_old(folder / name, b"left behind") for name in names]


def test_files_that_no_row_names_go_once_nobody_can_be_writing_them(job: JobFiles, settings: Settings) -> None:
    best = job.checkpoint(1)
    left = leave_behind(job, 1)
    clean(job.database, settings)
    assert there(*left) == [True] * 7  # attempt 1 may be at it

    job.end(JobStatus.QUEUED)
    make_old(left[0], seconds=3500)
    clean(job.database, settings)
    assert there(*left) == [True] + [False] * 6

    job.claim_again()
    make_old(left[0])
    left = leave_behind(job, 1)
    of_living = leave_behind(job, 2)
    clean(job.database, settings)
    assert there(*left, *of_living) == [False] * 7 + [True] * 7
    assert there(*best) == [True] * 2
    assert not left[0].parent.exists()  # best-epoch-009 was empty


def test_a_folder_is_removed_once_it_is_empty(job: JobFiles, settings: Settings) -> None:
    leave_behind(job, 1)
    job.end(JobStatus.FAILED)
    assert clean(job.database, settings).files == 7
    assert list(settings.artifacts_dir.iterdir()) == []
    assert settings.artifacts_dir.is_dir()


def test_what_is_not_ours_is_never_touched(job: JobFiles, settings: Settings, tmp_path: Path) -> None:
    job.end(JobStatus.FAILED)
    root, attempt = settings.artifacts_dir, settings.artifacts_dir / job.id / "attempt-1"
    outside = write_old(tmp_path / "outside" / "state-00000001.pth", b"elsewhere")
    foreign = [
        write_old(root / "notes.txt", b"mine"),
        write_old(root / job.id / "notes.txt", b"mine"),
        write_old(attempt / "weights.pth", b"mine"),
        write_old(attempt / ".bashrc", b"mine"),
        write_old(attempt / "best-epoch-001" / "report.pdf", b"mine"),
        write_old(root / ("0" * 24) / "attempt-1" / "state-00000001.pth", b"a job that this database does not know"),
        write_old(root / job.id / "attempt-2" / "state-00000001.pth", b"newer than a restored backup"),
        outside,
    ]
    (root / job.id / "attempt-0").symlink_to(outside.parent)
    assert clean(job.database, settings).files == 0
    assert there(*foreign) == [True] * len(foreign)


def test_a_checkpoint_that_only_the_job_names_is_no_orphan(job: JobFiles, settings: Settings) -> None:
    best = job.checkpoint(1)
    with job.database.writing() as session:
        fence.forget_artifacts(session, [job.key_of(path) for path in best])
    job.end(JobStatus.SUCCEEDED)
    clean(job.database, settings)
    assert there(*best) == [True] * 2


def test_prepared_faces_go_when_nobody_has_used_them_for_long(database: Database, settings: Settings) -> None:
    settings.keep_prepared_days = 2
    used = write_prepared(settings.prepared_dir, "a" * 64, seconds=1.9 * 86400)
    unused = write_prepared(settings.prepared_dir, "b" * 64, seconds=2.1 * 86400)
    unfinished = write_old(settings.prepared_dir / f"{'c' * 64}.npy", b"the sidecar never came")
    killed = write_old(settings.prepared_dir / f".{'d' * 64}.npy.1a2b3c4d.partial", b"half")
    writing = write_old(settings.prepared_dir / f".{'e' * 64}.npy.1a2b3c4d.partial", b"half", seconds=60)
    foreign = write_old(settings.prepared_dir / "notes.txt", b"mine", seconds=1e7)
    clean(database, settings)
    assert there(*used, *unused, unfinished, killed, writing, foreign) == [
        *(True, True),
        *(False, False),
        *(False, False),
        *(True, True),
    ]
    settings.keep_prepared_days = 0
    just_used = write_prepared(settings.prepared_dir, "b" * 64, seconds=1800)
    clean(database, settings)
    assert there(*used, *just_used) == [False, False, True, True]


def test_compiled_networks_go_when_nobody_has_used_them_for_long(database: Database, settings: Settings) -> None:
    settings.keep_prepared_days = 2
    day, names = 86400.0, [*(letter * 64 for letter in "abcd"), "mine"]
    used, unused, unfinished, compiling, foreign = (settings.compiled_dir / name for name in names)
    for folder, age, marker in (
        (used, 2.1 * day, 1.9 * day),
        (unused, 2.1 * day, 2.1 * day),
        (unfinished, LONG_AGO, None),
        (compiling, 60.0, None),
        (foreign, 1e7, 1e7),
    ):
        write_old(folder / "fxgraph" / "ab" / "code.py", b"compiled", seconds=age)
        if marker is not None:
            write_old(folder / COMPILED_MARKER, b"{}", seconds=marker)
        for path in (folder / "fxgraph" / "ab", folder / "fxgraph", folder):
            make_old(path, age)
    freed = clean(database, settings)
    assert there(used, unused, unfinished, compiling, foreign) == [True, False, False, True, True]
    assert freed.files == 3
    settings.keep_prepared_days = 0
    make_old(used / COMPILED_MARKER, 1800)
    clean(database, settings)
    assert there(used) == [True]


def test_prints_of_images_go_when_nobody_has_used_them_for_long(database: Database, settings: Settings) -> None:
    settings.keep_prepared_days = 2
    used = write_old(settings.prepared_dir / f"{'a' * 64}.prints", b"prints", seconds=1.9 * 86400)
    unused = write_old(settings.prepared_dir / f"{'b' * 64}.prints", b"prints", seconds=2.1 * 86400)
    killed = write_old(settings.prepared_dir / f".{'c' * 64}.prints.1a2b3c4d.partial", b"half")
    clean(database, settings)
    assert there(used, unused, killed) == [True, False, False]


def test_what_the_trainer_prepares_is_understood(tmp_path: Path) -> None:
    faces = Faces(torch.zeros(3, 3, 112, 112, dtype=torch.uint8), Counter({(16, 16): 2, (12, 20): 1}))
    PreparedFaces(tmp_path, Control()).make("a" * 64, 3, lambda: [faces])
    (found,) = find_prepared(tmp_path)
    assert found.damage(deep=True) is None
    assert found.idle_seconds() < 60


@pytest.mark.postgresql
def test_several_clean_at_once_and_each_file_is_counted_once(
    database_url: str, database: Database, settings: Settings
) -> None:
    for _ in range(6):
        job = JobFiles(database, settings.artifacts_dir)
        job.checkpoint(1)
        job.checkpoint(2)
        leave_behind(job, 1)
        job.end(JobStatus.SUCCEEDED)
    databases = [Database(database_url) for _ in range(4)]

    def clean_one(each: Database) -> Freed:
        return clean(each, settings)

    with ThreadPoolExecutor(4) as pool:
        freed = sum(pool.map(clean_one, databases), start=Freed())
    for each in databases:
        each.close()
    assert freed.files == 6 * (2 + 7)
    assert len([path for path in settings.artifacts_dir.rglob("*") if path.is_file()]) == 6 * 2


def measurement(database: Database, settings: Settings, ended: JobStatus, *, days_ago: float) -> JobFiles:
    job = JobFiles(database, settings.artifacts_dir)
    with database.writing() as session:
        session.get_one(Job, job.id).kind = kind_of(DRY_RUN).stored
    job.end(ended, days_ago=days_ago)
    return job


@pytest.mark.parametrize("ended", [JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED])
def test_a_measurement_is_forgotten_when_it_is_old(database: Database, settings: Settings, ended: JobStatus) -> None:
    young, old = (measurement(database, settings, ended, days_ago=days) for days in (6.9, 7.1))
    training = JobFiles(database, settings.artifacts_dir)
    training.end(ended, days_ago=100)
    clean(database, settings)
    with database.reading() as session:
        assert {job.id for job in session.exec(select(Job))} == {young.id, training.id}
        assert {event.job_id for event in session.exec(select(JobEvent))} == {young.id, training.id}
        assert {attempt.job_id for attempt in session.exec(select(Attempt))} == {young.id, training.id}
    with pytest.raises(JobNotFound):
        old.row()


def test_a_measurement_is_kept_for_a_day_at_least_while_it_is_retried_and_while_it_has_files(
    database: Database, settings: Settings
) -> None:
    settings.keep_states_days = 0
    today = measurement(database, settings, JobStatus.SUCCEEDED, days_ago=0.9)
    retried = measurement(database, settings, JobStatus.FAILED, days_ago=2)
    with database.writing() as session:
        wishes.retry(session, retried.id)
    foreign = measurement(database, settings, JobStatus.SUCCEEDED, days_ago=2)
    mine = write_old(settings.artifacts_dir / foreign.id / "notes.txt", b"mine")
    clean(database, settings)
    assert [job.row().status for job in (today, retried, foreign)] == ["succeeded", "queued", "succeeded"]
    mine.unlink()
    clean(database, settings)
    with pytest.raises(JobNotFound):
        foreign.row()


def test_a_worker_not_seen_for_a_day_is_forgotten(database: Database, settings: Settings) -> None:
    def report(name: str, seconds: float) -> None:
        with database.writing() as session:
            rounds.report_worker(session, name, "host")
            session.get_one(WorkerSeen, name).seen_at -= seconds

    report("gone", 86401)
    report("quiet", 86000)
    clean(database, settings)
    with database.reading() as session:
        assert session.get(WorkerSeen, "gone") is None
        assert session.get(WorkerSeen, "quiet") is not None
