"""The workers of a machine share its GPUs out among their jobs."""

import multiprocessing
import os
import signal
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from app.finetune.gpus import GpuProblem, GpuReading
from worker.gpu.leases import GpuLease, GpuLeases, MemoryNeed, NoGpuFree

GIB = 2**30


def gpu(number: int, used: int = 0, problem: GpuProblem | None = None) -> GpuReading:
    return GpuReading(
        index=number,
        uuid=f"GPU-{number}",
        name="a GPU",
        memory_used_bytes=used * GIB,
        memory_total_bytes=80 * GIB,
        problem=problem,
    )


def need(gib: int, least: int | None = None) -> MemoryNeed:
    return MemoryNeed(least=(gib if least is None else least) * GIB, whole=gib * GIB)


def take(
    leases: GpuLeases, *gpus: GpuReading, device: str = "auto", needed: int = 1, least: int | None = None
) -> GpuLease:
    lease = leases.take(device, gpus, need(needed, least))
    assert lease is not None
    return lease


def refusal(
    leases: GpuLeases, *gpus: GpuReading, device: str = "auto", needed: int = 1, least: int | None = None
) -> str:
    with pytest.raises(NoGpuFree) as refused:
        leases.take(device, gpus, need(needed, least))
    return str(refused.value)


def test_workers_of_one_machine_take_different_gpus(tmp_path: Path) -> None:
    one, other = GpuLeases(tmp_path / "gpus", 1), GpuLeases(tmp_path / "gpus", 1)
    first, second = take(one, gpu(0), gpu(1)), take(other, gpu(0), gpu(1))
    assert (first.number, second.number) == (0, 1)
    assert refusal(one, gpu(0), gpu(1)) == "a GPU: other jobs use cuda:0 or cuda:1"
    assert refusal(one, gpu(1), device="cuda") == "a GPU: other jobs use cuda:0", "known by its UUID, not by its number"
    second.release()
    assert refusal(one, gpu(0), gpu(1), device="cuda:0") == "a GPU: other jobs use cuda:0"
    assert take(one, gpu(0), gpu(1), device="cuda").number == 1


def test_jobs_share_a_gpu_by_setting_and_the_emptiest_gpu_comes_first(tmp_path: Path) -> None:
    leases = GpuLeases(tmp_path, 2)
    taken = [take(leases, gpu(0, used=40), gpu(1)).number for _ in range(4)]
    assert taken == [1, 0, 1, 0]
    assert "other jobs use" in refusal(leases, gpu(0), gpu(1))


def test_a_gpu_that_the_machine_does_not_have_is_not_leased(tmp_path: Path) -> None:
    leases = GpuLeases(tmp_path, 1)
    assert leases.take("cuda:2", [gpu(0), gpu(1)], need(1)) is None
    assert take(leases, gpu(0), gpu(1), device="cuda:1").number == 1


def test_a_job_waits_for_memory_that_other_programs_or_jobs_hold(tmp_path: Path) -> None:
    leases = GpuLeases(tmp_path, 2)
    assert refusal(leases, gpu(0, used=75), needed=6) == (
        "memory of a GPU: the job needs 6.0 GiB free on cuda:0, and programs other than jobs hold the memory: end them "
        "(nvidia-smi lists them)"
    )
    assert take(leases, gpu(0, used=75), gpu(1, used=50), needed=20).number == 1
    # What that job will use does not show yet.
    assert "needs 70.0 GiB free on cuda:1 beside the jobs there" in refusal(
        leases, gpu(0), gpu(1), device="cuda:1", needed=70
    )
    assert take(leases, gpu(0), gpu(1), needed=500).number == 0, "a job that is too large computes in parts"


def test_a_job_without_memory_for_a_whole_batch_starts_where_no_other_job_runs(tmp_path: Path) -> None:
    leases = GpuLeases(tmp_path, 2)
    assert take(leases, gpu(0, used=10), gpu(1, used=60), needed=500, least=2).number == 0
    beside = take(leases, gpu(0, used=10), gpu(1, used=75), needed=8, least=2)
    assert beside.number == 0, "a whole batch fits there"
    beside.release()
    assert take(leases, gpu(0, used=75), gpu(1, used=20), needed=30, least=2).number == 1
    lacking = refusal(leases, gpu(0, used=79), gpu(1, used=70), gpu(2, used=79), needed=30, least=2)
    assert lacking == (
        "memory of a GPU: the job needs 30.0 GiB free on cuda:0 or cuda:1 beside the jobs there: it starts when one of "
        "them has ended; or 2.0 GiB free on cuda:2, and programs other than jobs hold the memory: end them (nvidia-smi "
        "lists them)"
    )


def test_workers_of_other_users_can_lock_the_files(tmp_path: Path) -> None:
    folder = tmp_path / "gpus"
    folder.mkdir()
    (folder / "choosing").touch(mode=0o600)  # by an earlier version
    before = os.umask(0o077)
    try:
        take(GpuLeases(folder, 2), gpu(0))
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666}


def test_leases_that_cannot_be_written_make_a_job_wait_and_name_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "gpus"
    folder.touch()
    lacking = refusal(GpuLeases(folder, 1), gpu(0))
    assert lacking.startswith(f"a GPU: the leases of GPUs in {folder} cannot be used: ")
    assert "give the worker's user write access to this folder and its files" in lacking
    folder.unlink()
    folder.mkdir()
    (folder / "choosing").symlink_to(tmp_path / "of-another-user")
    assert str(folder / "choosing") in refusal(GpuLeases(folder, 1), gpu(0))
    assert not (tmp_path / "of-another-user").exists()
    (folder / "choosing").unlink()
    taken = take(GpuLeases(folder, 1), gpu(0))
    (folder / "GPU-0.0").write_bytes(b"4294967x")  # a disk that was full
    assert "other jobs use cuda:0" in refusal(GpuLeases(folder, 1), gpu(0))
    taken.release()


def test_a_gpu_that_the_driver_lost_is_not_used(tmp_path: Path) -> None:
    leases = GpuLeases(tmp_path, 1)
    lost = gpu(0, problem=GpuProblem(code="gpu_lost", message="the driver lost a GPU", hint="restart"))
    assert take(leases, lost, gpu(1)).number == 1
    assert refusal(leases, lost) == "a GPU: the driver lost a GPU"


def hold(_: GpuLease, supervisor: Connection) -> None:
    supervisor.send("begun")
    signal.pause()


def test_a_lease_lasts_as_long_as_the_trainer_that_has_it(tmp_path: Path) -> None:
    leases = GpuLeases(tmp_path, 1)
    lease = take(leases, gpu(0))
    processes = multiprocessing.get_context("forkserver")
    ours, theirs = processes.Pipe()
    trainer = processes.Process(target=hold, args=(lease, theirs), daemon=True)
    trainer.start()
    assert ours.recv() == "begun"
    lease.release()
    assert "other jobs use cuda:0" in refusal(leases, gpu(0))
    trainer.kill()
    trainer.join()
    assert take(leases, gpu(0)).number == 0
