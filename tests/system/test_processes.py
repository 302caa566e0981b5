"""Signals, cancel and the command line, with real processes."""

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from app.api_models.events import EventView, StatusEvent
from app.jobs.states import JobStatus
from tests.system.conftest import START_SECONDS, STOP_SECONDS, Machine, descendants, gone, wait_until

LONG = {"dataset": "drawn", "stage1_epochs": 0, "stage2_epochs": 1000, "early_stop_patience": 0}


@pytest.fixture
def machine(tmp_path: Path, drawn_inputs: Path) -> Iterator[Machine]:
    """Drawn faces, untrained weights, `serve` running."""
    with serving(tmp_path, drawn_inputs) as machine:
        yield machine


@pytest.fixture(scope="module")
def lasting_machine(tmp_path_factory: pytest.TempPathFactory, drawn_inputs: Path) -> Iterator[Machine]:
    """The same, for tests that leave `serve` running and no job."""
    with serving(tmp_path_factory.mktemp("var"), drawn_inputs) as machine:
        yield machine


@contextlib.contextmanager
def serving(var_dir: Path, inputs: Path) -> Iterator[Machine]:
    shutil.copytree(inputs, var_dir, dirs_exist_ok=True)
    with contextlib.closing(Machine(var_dir, {"EDGEFACE_LEASE_SECONDS": "5"})) as machine:
        machine.start("serve")
        machine.wait_until_ready()
        yield machine


def start_long_job(machine: Machine) -> str:
    """A job that has written its first checkpoint and trains on."""
    with machine.client() as client:
        job_id = client.submit(LONG).id
        for event in client.events(job_id):
            if isinstance(event, EventView) and event.kind == "checkpoint":
                return job_id
            assert not isinstance(event, StatusEvent) or event.data.status != "failed", event
    raise AssertionError("the job ended")


def trainers(machine: Machine) -> list[int]:
    """Process ids of trainers: children of the worker's fork server."""
    found = []
    for process in descendants(machine.processes[0].pid):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
            parent = process.parent()
            if parent is not None and "forkserver" in " ".join(parent.cmdline()):
                found.append(process.pid)
    return found


def test_cancel_ends_the_trainer_within_two_seconds_and_keeps_the_checkpoint(lasting_machine: Machine) -> None:
    job_id = start_long_job(lasting_machine)
    assert len(trainers(lasting_machine)) == 1
    with lasting_machine.client() as client:
        asked = time.monotonic()
        client.cancel(job_id)
        wait_until(lambda: client.get(job_id).terminal, STOP_SECONDS)
        assert time.monotonic() - asked < 2.0
        assert trainers(lasting_machine) == []
        assert client.cancel(job_id).status is JobStatus.CANCELLED
        assert client.download(job_id, lasting_machine.var_dir / "best.pth").stat().st_size > 1_000_000


def test_a_paused_job_frees_its_worker_and_goes_on_where_it_was(lasting_machine: Machine) -> None:
    job_id = start_long_job(lasting_machine)
    with lasting_machine.client() as client:
        paused = client.pause(job_id)
        assert paused.status is JobStatus.PAUSED
        survives = paused.resume_point
        assert survives is not None
        assert survives.stage == 2
        wait_until(lambda: trainers(lasting_machine) == [], STOP_SECONDS)
        other = client.submit(LONG | {"stage2_epochs": 1})
        wait_until(lambda: client.get(other.id).terminal, START_SECONDS)
        assert client.get(job_id).status is JobStatus.PAUSED
        client.resume(job_id)
        wait_until(lambda: client.get(job_id).status is JobStatus.RUNNING, START_SECONDS)
        receipt = client.get(job_id).resume_receipt
        assert receipt is not None
        assert (receipt.from_attempt, receipt.epoch, receipt.step) == (1, survives.epoch, survives.step)
        assert receipt.steps_redone == 0
        client.cancel(job_id)
        wait_until(lambda: client.get(job_id).terminal, STOP_SECONDS)
        epochs = [epoch.epoch for epoch in client.metrics(job_id).epochs]
        assert epochs == list(range(1, len(epochs) + 1))
        client.retry(job_id)
        wait_until(lambda: client.get(job_id).status is JobStatus.RUNNING, START_SECONDS)
        assert [each.outcome for each in client.attempts(job_id).attempts] == ["paused", "cancelled", None]
        assert client.cancel(job_id, force=True).status is JobStatus.CANCELLED
        wait_until(lambda: trainers(lasting_machine) == [], STOP_SECONDS)


@pytest.mark.slow
def test_ctrl_c_ends_every_process_and_the_job_goes_on_at_the_next_start(machine: Machine) -> None:
    job_id = start_long_job(machine)
    serve = machine.processes.pop()
    everyone = descendants(serve.pid)
    assert len(everyone) >= 4
    os.kill(serve.pid, signal.SIGINT)
    assert serve.wait(STOP_SECONDS) == 0
    wait_until(lambda: gone(everyone), STOP_SECONDS)
    assert "Traceback" not in machine.log()
    machine.start("serve")
    machine.wait_until_ready()
    with machine.client() as client:
        wait_until(lambda: client.get(job_id).status is JobStatus.RUNNING, STOP_SECONDS)
        job = client.get(job_id)
        assert (job.attempt, job.worker_losses) == (2, 0)
        assert job.resume_receipt is not None
        assert (job.resume_receipt.from_attempt, job.resume_receipt.steps_redone) == (1, 0)
        client.cancel(job_id)
        wait_until(lambda: client.get(job_id).terminal, STOP_SECONDS)


@pytest.mark.slow
def test_when_serve_is_killed_its_processes_end_too(machine: Machine) -> None:
    start_long_job(machine)
    serve = machine.processes.pop()
    everyone = descendants(serve.pid)
    serve.kill()
    serve.wait()
    wait_until(lambda: gone(everyone), STOP_SECONDS)


def test_a_killed_worker_loses_no_job(machine: Machine) -> None:
    """`serve` starts another worker; the lease runs out and that one takes the job."""
    job_id = start_long_job(machine)
    worker = next(process for process in descendants(machine.processes[0].pid) if process.cmdline()[-1] == "worker")
    orphans = worker.children(recursive=True)
    worker.kill()
    wait_until(lambda: gone(orphans), STOP_SECONDS)
    with machine.client() as client:
        wait_until(lambda: client.get(job_id).attempt == 2, START_SECONDS)
        wait_until(lambda: client.get(job_id).resume_receipt is not None, START_SECONDS)
        receipt = client.get(job_id).resume_receipt
        assert receipt is not None
        assert receipt.from_attempt == 1
        assert "did not renew its lease" in receipt.reason
        first, second = client.attempts(job_id).attempts[:2]
        assert first.ended_at is not None
        # The wait includes the rest of the lease, which ran on after the worker was killed.
        assert receipt.seconds_waited > (second.started_at - first.ended_at).total_seconds() + 1.0
        client.cancel(job_id)
        wait_until(lambda: client.get(job_id).terminal, STOP_SECONDS)


def test_the_commands_do_what_a_person_does(lasting_machine: Machine, tmp_path: Path) -> None:
    checked = lasting_machine.run("dataset", "check", str(lasting_machine.var_dir / "datasets" / "drawn")).stdout
    assert "the best epoch will be selected by verification_auc" in checked
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"dataset": "drawn", "stage1_epochs": 1, "stage2_epochs": 1}))
    assert json.loads(lasting_machine.run("submit", "--dry-run", str(config)).stdout)["config"]["seed"] == 42
    job_id = lasting_machine.run("submit", str(config)).stdout.strip()
    shown = lasting_machine.run("watch", job_id).stdout
    assert "stage 2: backbone and ArcFace head, 1 epoch" in shown
    assert "\nsucceeded" in shown
    assert shown.rstrip().splitlines()[-1].startswith("AUC ")
    output = tmp_path / "downloaded.pth"
    assert lasting_machine.run("download", job_id, "--output", str(output)).stdout.strip() == str(output)
    assert output.is_file()
    assert job_id in lasting_machine.run("jobs").stdout
    config.write_text(json.dumps({"dataset": "drawn", "epochs": 3}))
    refused = lasting_machine.run("submit", str(config), check=False)
    assert refused.returncode == 2
    assert "epochs: there is no such field; did you mean stage1_epochs or stage2_epochs?" in refused.stderr
    absent = lasting_machine.run("watch", "nobody", check=False)
    assert "no job has an id that begins with 'nobody'" in absent.stderr


def test_without_a_service_the_commands_say_how_to_start_one(embedded: Machine) -> None:
    done = embedded.run("jobs", check=False)
    assert done.returncode == 1
    assert "start it there with edgeface-finetune serve" in done.stderr
