"""Faults that only real processes and real disks have: frozen, signalled, out of space, robbed of their files."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from app.api_models.events import EventView, StatusEvent
from app.api_models.job import JobView
from app.client import Client
from app.jobs.states import JobStatus
from tests.system.conftest import START_SECONDS, STOP_SECONDS, Machine, descendants, gone, wait_until

pytestmark = pytest.mark.slow

SHORT: dict[str, Any] = {"dataset": "drawn", "stage1_epochs": 1, "stage2_epochs": 2}
LONG = SHORT | {"stage2_epochs": 1000, "early_stop_patience": 0}


@pytest.fixture
def machine(embedded: Machine, drawn_inputs: Path) -> Machine:
    """Drawn faces and untrained weights; an API, and no worker yet."""
    shutil.copytree(drawn_inputs, embedded.var_dir, dirs_exist_ok=True)
    embedded.environment |= {
        "EDGEFACE_LEASE_SECONDS": "4",
        "EDGEFACE_RETRY_BACKOFF_SECONDS": "0.1",
        "EDGEFACE_RING_AGAIN_SECONDS": "1",
        "EDGEFACE_SAVE_EVERY_SECONDS": "0.3",
    }
    embedded.start("api")
    return embedded


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 240 MB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=240m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def wait_for_checkpoint(client: Client, job_id: str, attempt: int = 1) -> None:
    for event in client.events(job_id):
        if isinstance(event, EventView) and event.attempt >= attempt:
            assert not isinstance(event, StatusEvent) or event.data.status != "failed", event
            if event.kind == "checkpoint":
                return
    raise AssertionError("the job ended")


def wait_for_status(client: Client, job_id: str, status: JobStatus, seconds: float = START_SECONDS) -> JobView:
    wait_until(lambda: client.get(job_id).status is status, seconds, lambda: repr(client.get(job_id)))
    return client.get(job_id)


def freeze_outside_a_transaction(process: subprocess.Popen[bytes], machine: Machine) -> None:
    """Inside one it would hold up all writers of SQLite: see the limits in docs/reliability.md."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, STOP_SECONDS)
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(machine.var_dir / "edgeface.sqlite", timeout=0.3)) as database,
        ):
            database.execute("BEGIN IMMEDIATE")
            return
        process.send_signal(signal.SIGCONT)
    raise AssertionError("it was never outside a transaction")


def fill(folder: Path, *, leave: int = 0) -> Path:
    """A file that takes the space that is left, whoever else is writing."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        while True:
            with contextlib.suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - leave)
                return filler


def written_files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_a_frozen_worker_that_wakes_writes_nothing_and_stops_its_trainer(machine: Machine) -> None:
    frozen = machine.start("worker")
    with machine.client() as client:
        machine.wait_until_ready()
        job_id = client.submit(LONG).id
        wait_for_checkpoint(client, job_id)
        trainers = [process for process in descendants(frozen.pid) if process.parent().pid != frozen.pid]
        freeze_outside_a_transaction(frozen, machine)
        # Its trainer is not frozen, and ends by itself before the lease does.
        wait_until(lambda: gone(trainers), STOP_SECONDS)
        other = machine.start("worker")
        wait_until(lambda: client.get(job_id).attempt == 2, START_SECONDS, machine.log)
        wait_for_checkpoint(client, job_id, attempt=2)
        before = written_files(machine.var_dir / "artifacts" / job_id / "attempt-1")
        frozen.send_signal(signal.SIGCONT)
        wait_until(lambda: f"attempt 1 no longer holds job {job_id}" in machine.log(), STOP_SECONDS)
        client.pause(job_id)
        job = wait_for_status(client, job_id, JobStatus.PAUSED)
        after = written_files(machine.var_dir / "artifacts" / job_id / "attempt-1")
        assert {path: time for path, time in after.items() if before.get(path) != time} == {}
        assert job.attempt == 2
        stages = [(epoch.stage, epoch.epoch) for epoch in client.metrics(job_id).epochs]
        assert stages == sorted(set(stages))
    other.terminate()


def test_a_signal_to_every_process_of_the_worker_saves_the_state_and_spends_no_try(machine: Machine) -> None:
    worker = machine.start("worker")
    with machine.client() as client:
        machine.wait_until_ready()
        job_id = client.submit(LONG).id
        wait_for_checkpoint(client, job_id)
        everyone = [psutil.Process(worker.pid), *descendants(worker.pid)]
        os.killpg(worker.pid, signal.SIGTERM)
        job = wait_for_status(client, job_id, JobStatus.QUEUED, seconds=10.0)
        wait_until(lambda: worker.poll() is not None and gone(everyone[1:]), STOP_SECONDS)
        machine.processes.remove(worker)
        assert job.worker_losses == 0
        assert job.resume_point is not None
        machine.start("worker")
        wait_for_checkpoint(client, job_id, attempt=2)
        receipt = client.get(job_id).resume_receipt
        assert receipt is not None
        assert (receipt.from_attempt, receipt.steps_redone) == (1, 0)
        client.cancel(job_id)


def test_a_dataset_removed_under_a_running_job_fails_the_next_attempt_and_a_retry_goes_on(machine: Machine) -> None:
    dataset, aside = machine.var_dir / "datasets" / "drawn", machine.var_dir / "moved"
    worker = machine.start("worker")
    with machine.client() as client:
        machine.wait_until_ready()
        job_id = client.submit(LONG).id
        wait_for_checkpoint(client, job_id)
        dataset.rename(aside)
        for trainer in [process for process in descendants(worker.pid) if process.parent().pid != worker.pid]:
            with contextlib.suppress(psutil.NoSuchProcess):
                trainer.kill()
        job = wait_for_status(client, job_id, JobStatus.FAILED)
        assert job.error is not None
        assert (job.error.code, job.error.blame) == ("dataset_not_found", "request")
        assert client.download(job_id, machine.var_dir / "best.pth").is_file()
        aside.rename(dataset)
        client.retry(job_id)
        wait_for_checkpoint(client, job_id, attempt=job.attempt + 1)
        receipt = client.get(job_id).resume_receipt
        assert receipt is not None
        assert receipt.from_attempt == 1
        client.cancel(job_id)


def test_a_job_waits_for_disk_space_and_says_so(machine: Machine, small_disk: Path) -> None:
    machine.environment["EDGEFACE_ARTIFACTS_DIR"] = str(small_disk)
    filler = fill(small_disk)
    machine.start("worker")
    with machine.client() as client:
        machine.wait_until_ready()
        job_id = client.submit(SHORT).id
        wait_until(lambda: "disk space" in (client.get(job_id).waiting_for or ""), START_SECONDS, machine.log)
        filler.unlink()
        job = wait_for_status(client, job_id, JobStatus.SUCCEEDED)
        assert job.attempt == 1


def test_a_disk_that_fills_under_a_running_job_makes_it_wait_not_fail(machine: Machine, small_disk: Path) -> None:
    machine.environment["EDGEFACE_ARTIFACTS_DIR"] = str(small_disk)
    machine.start("worker")
    with machine.client() as client:
        machine.wait_until_ready()
        job_id = client.submit(LONG).id
        wait_for_checkpoint(client, job_id)
        filler = fill(small_disk)
        # What was reserved is used up first; then the next write finds no space.
        with contextlib.suppress(OSError):
            wait_until(lambda: _fill_again(client, job_id, small_disk), START_SECONDS, machine.log)
        job = client.get(job_id)
        assert (job.status, job.worker_losses) == (JobStatus.QUEUED, 0)
        assert job.resume_point is not None
        filler.unlink()
        for more in small_disk.glob("more-*"):
            more.unlink()
        wait_for_checkpoint(client, job_id, attempt=2)
        client.cancel(job_id)


def _fill_again(client: Client, job_id: str, folder: Path) -> bool:
    """Take what a superseded state gave back."""
    free = shutil.disk_usage(folder).free
    if free:
        with contextlib.suppress(OSError), (folder / f"more-{len(list(folder.iterdir()))}-{free}").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free)
    return client.get(job_id).status is JobStatus.QUEUED


def test_a_database_locked_for_longer_than_it_waits_costs_nothing(machine: Machine) -> None:
    """Another program holds SQLite's write lock."""
    machine.environment["EDGEFACE_LEASE_SECONDS"] = "20"
    machine.start("worker")
    with machine.client() as client:
        machine.wait_until_ready()
        job_id = client.submit(LONG).id
        wait_for_checkpoint(client, job_id)
        code = (
            "import sqlite3, sys\n"
            "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "connection.execute('BEGIN IMMEDIATE'); print('locked', flush=True); sys.stdin.read(1)\n"
        )
        holder = subprocess.Popen(
            ["python3", "-c", code, str(machine.var_dir / "edgeface.sqlite")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"locked\n"
        shown = client.get(job_id).progress
        with pytest.raises(subprocess.TimeoutExpired):
            holder.wait(8)
        assert client.get(job_id).progress == shown, "somebody wrote meanwhile"
        holder.kill()
        holder.wait()
        for stream in (holder.stdin, holder.stdout):
            assert stream is not None
            stream.close()
        wait_until(lambda: client.get(job_id).progress > shown, START_SECONDS)
        job = client.get(job_id)
        assert (job.attempt, job.worker_losses) == (1, 0)
        client.cancel(job_id)
