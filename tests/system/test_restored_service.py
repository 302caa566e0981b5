"""A backup taken while a job trains: on another machine, a paused job of it resumes from its state and ends."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.jobs.states import JobStatus
from tests.system.conftest import Machine, wait_until

CONFIG = {"dataset": "drawn", "stage1_epochs": 1, "stage2_epochs": 3}
LONG = CONFIG | {"stage2_epochs": 300, "early_stop_patience": 300}
SECONDS = 150.0


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Machine]:
    folder = tmp_path / "another"
    folder.mkdir()
    machine = Machine(folder, {})
    yield machine
    machine.close()


@pytest.mark.slow
def test_a_paused_job_resumes_from_a_restored_backup(
    embedded: Machine, another: Machine, drawn_inputs: Path, tmp_path: Path
) -> None:
    for name in ("datasets", "weights"):
        shutil.copytree(drawn_inputs / name, embedded.var_dir / name)
    backup = tmp_path / "backup"
    embedded.start("serve")
    embedded.wait_until_ready()
    with embedded.client() as client:
        paused = client.submit(CONFIG)
        wait_until(lambda: client.get(paused.id).stage == 2, SECONDS, embedded.log)
        client.pause(paused.id)
        wait_until(lambda: client.get(paused.id).status == JobStatus.PAUSED, SECONDS, embedded.log)
        running = client.submit(LONG)
        wait_until(lambda: (client.get(running.id).epoch or 0) > 2, SECONDS, embedded.log)
        embedded.run("backup", "--with-files", str(backup))
        before = client.metrics(paused.id).epochs
        client.cancel(running.id)
    embedded.close()

    another.run("restore", str(backup))
    assert "no problems" in another.run("doctor", "--deep").stdout
    another.start("serve")
    another.wait_until_ready()
    with another.client() as client:
        client.cancel(running.id, force=True)  # its worker is of the other machine
        job = client.resume(paused.id)
        wait_until(lambda: client.get(job.id).terminal, SECONDS, another.log)
        assert client.get(job.id).status == JobStatus.SUCCEEDED
        receipt = client.attempts(job.id).attempts[1].receipt
        assert receipt is not None
        assert (receipt.from_attempt, receipt.stage) == (1, 2)
        assert client.metrics(job.id).epochs[: len(before)] == before
