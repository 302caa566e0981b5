"""Slowdown of a training by a busy API, measured with the real service and trainer on drawn faces."""

import contextlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from app.api_models.job import JobView
from app.client import Client
from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from app.jobs.states import JobStatus
from app.settings import Settings
from benchmarks.api.processes import HOST, Server, process, server
from benchmarks.support import Figure, Outcome, Table, Target, ratios

READERS = 1000
GETS_PER_SECOND = 50
LOSES_AT_MOST = 0.03
JOB_SECONDS = 600.0


def measure(folder: Path, *, quick: bool) -> Outcome:
    readers, repeats, epochs = (50, 1, 2) if quick else (READERS, 5, 8)
    settings = Settings(var_dir=folder)
    settings.make_directories()
    write_drawn_faces(folder / "faces", subjects=8 if quick else 40, images_per_subject=8, seed=42)
    build_dataset(folder / "faces", settings.datasets_dir / "drawn", vlr_size=16, val_fraction=0.25, test_fraction=0)
    weights = ["weights", "untrained", "--output", str(settings.weights_dir / "untrained.pt")]
    subprocess.run([sys.executable, "-m", "app.cli", *weights], check=True, capture_output=True)
    quiet: list[dict[str, float]] = []
    busy: list[dict[str, float]] = []
    with (
        server("app.cli", "api", var_dir=folder, ready="/health/live") as api,
        process("app.cli", "worker", var_dir=folder),
        Client(f"http://{HOST}:{api.port}") as client,
    ):
        _train(client, api, 0, epochs)  # warm-up: starts the fork server and prepares the faces
        for turn in range(repeats):
            both = [(quiet, 0), (busy, readers)]
            for results, how_many in both if turn % 2 else reversed(both):
                results.append(_train(client, api, how_many, epochs))
                print(f"{how_many} readers: {results[-1]}", file=sys.stderr, flush=True)  # each run takes minutes
    return _outcome(quiet, busy, readers)


def _train(client: Client, api: Server, readers: int, epochs: int) -> dict[str, float]:
    """Train one job. Images/s is the median over stage 2's epochs except the first. The CPU use of the API and its
    clients covers the same time."""
    config = {"dataset": "drawn", "edgeface": "untrained.pt", "stage1_epochs": 1, "stage2_epochs": epochs}
    job = client.submit(config | {"early_stop_patience": 0})
    with _busy(api, job, readers) as clients:
        watched = [api.process, *clients]
        job = _until(client, job, lambda job: job.stage == 2)
        begun, before = time.monotonic(), [_cpu(each) for each in watched]
        job = _until(client, job, lambda job: job.epoch == epochs or job.terminal)
        took = time.monotonic() - begun
        cpu = [(_cpu(each) - earlier) / took for each, earlier in zip(watched, before, strict=True)]
    job = _until(client, job, lambda job: job.terminal)
    if job.status is not JobStatus.SUCCEEDED:
        raise RuntimeError(f"the job {job.status}: {job.error}")
    stage2 = [epoch.images_per_second for epoch in client.metrics(job.id).epochs if epoch.stage == 2]
    return {"images_per_second": statistics.median(stage2[1:]), "api_cpu": cpu[0], "clients_cpu": sum(cpu[1:])}


def _cpu(running: psutil.Process) -> float:
    times = running.cpu_times()
    return float(times.user + times.system)


def _until(client: Client, job: JobView, reached: Callable[[JobView], bool]) -> JobView:
    give_up = time.monotonic() + JOB_SECONDS
    while not reached(job):
        if job.terminal or time.monotonic() > give_up:
            raise RuntimeError(f"the job is {job.status}: {job.error}")
        time.sleep(0.25)
        job = client.get(job.id)
    return job


@contextlib.contextmanager
def _busy(api: Server, job: JobView, readers: int) -> Iterator[list[psutil.Process]]:
    """Run readers of the job's events and a steady stream of requests, or nothing. Yield the client processes."""
    if not readers:
        yield []
        return
    stream = [str(api.port), f"/jobs/{job.id}/events", f"--readers={readers}", "--until=1000000"]
    gets = [str(api.port), f"/jobs/{job.id}", f"--per-second={GETS_PER_SECOND}", "--connections=4"]
    commands = {"benchmarks.api.readers": stream, "benchmarks.api.load": gets}
    with contextlib.ExitStack() as stack:
        clients = []
        for module, arguments in commands.items():
            command = [sys.executable, "-m", module, *arguments, f"--seconds={JOB_SECONDS}"]
            client = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE))
            stack.callback(client.kill)
            clients.append(client)
        assert clients[0].stdout is not None
        assert clients[0].stdout.readline() == b"ready\n"
        yield [psutil.Process(client.pid) for client in clients]
        if any(client.poll() is not None for client in clients):
            raise RuntimeError("a client of the API ended before the job: the API was less busy than reported")


def _outcome(quiet: list[dict[str, float]], busy: list[dict[str, float]], readers: int) -> Outcome:
    def figure(results: list[dict[str, float]], name: str) -> Figure:
        return Figure(tuple(each[name] for each in results))

    rates = {"quiet": figure(quiet, "images_per_second"), "busy": figure(busy, "images_per_second")}
    pairs = ratios(rates["busy"], rates["quiet"])
    lost = Figure(tuple(1 - each for each in pairs.values))
    rows = [
        ["the API is idle", rates["quiet"].shown(), "", figure(quiet, "api_cpu").shown(3), "0"],
        [
            f"{readers} readers, {GETS_PER_SECOND} GET/s",
            rates["busy"].shown(),
            lost.shown(3),
            figure(busy, "api_cpu").shown(3),
            figure(busy, "clients_cpu").shown(3),
        ],
    ]
    columns = ["", "images/s of stage 2", "lost", "cores the API takes", "cores its clients take, on this machine"]
    figures = {
        "images_per_second": rates,
        "lost": lost,
        "api_cpu": {"quiet": figure(quiet, "api_cpu"), "busy": figure(busy, "api_cpu")},
        "clients_cpu": figure(busy, "clients_cpu"),
    }
    return Outcome(
        [Table("A job trains while the API is busy", columns, rows)],
        [Target("share of the training's images/s lost to a busy API", lost.median, at_most=LOSES_AT_MOST)],
        {"training": figures},
    )
