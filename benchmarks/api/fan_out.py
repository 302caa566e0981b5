"""Measures the latency of a job's events with a thousand readers."""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from app.database import Database
from app.jobs import queries
from app.jobs.transitions.fence import Claim
from app.settings import Settings
from benchmarks.api.jobs import running_job, write_epoch
from benchmarks.api.processes import Server, server
from benchmarks.support import Figure, Outcome, Table, Target

EVENTS_PER_SECOND = 10.0
SECONDS_TO_BEGIN = 180.0
SECONDS_TO_RECEIVE = 120.0


def measure(folder: Path, *, quick: bool) -> Outcome:
    readers, events, repeats = (50, 10, 1) if quick else (1000, 50, 5)
    settings = Settings(var_dir=folder)
    settings.make_directories()
    database = Database(settings.database_url)
    database.migrate()
    measured: dict[str, list[dict[str, float]]] = {"shared": [], "polling": []}
    for _ in range(repeats):
        for way, results in measured.items():
            job = running_job(database)
            with _server(way, folder) as running:
                results.append(_measure_once(running, database, job, folder, readers, events))
    database.close()
    return _outcome(measured, readers, events)


@contextlib.contextmanager
def _server(way: str, folder: Path) -> Iterator[Server]:
    if way == "shared":
        with server("app.cli", "api", var_dir=folder, ready="/health/live") as running:
            yield running
    else:
        with server("benchmarks.api.peers", "polling", var_dir=folder, ready="/docs") as running:
            yield running


def _measure_once(
    running: Server, database: Database, job: Claim, folder: Path, readers: int, events: int
) -> dict[str, float]:
    output = folder / "received.json"
    with database.reading() as session:
        first = queries.get(session, job.job_id).event_count + 1
    last = first + events - 1
    command = [sys.executable, "-m", "benchmarks.api.readers", str(running.port), f"/jobs/{job.job_id}/events"]
    options = {"readers": readers, "last-event-id": first - 1, "until": last, "seconds": SECONDS_TO_RECEIVE}
    command += [f"--{name}={value}" for name, value in (options | {"output": output}).items()]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        joined, cpu_before = time.monotonic(), running.cpu_seconds()
        committed = _write(database, job, first, last)
        client.wait(SECONDS_TO_RECEIVE + SECONDS_TO_BEGIN)
        cpu, took = running.cpu_seconds() - cpu_before, time.monotonic() - joined
    received: list[dict[str, list[float]]] = json.loads(output.read_text())
    wanted = [str(number) for number in committed]
    latencies = [
        reader[number][0] - committed[int(number)] for reader in received for number in wanted if number in reader
    ]
    exact = sum(list(reader) == wanted and all(len(times) == 1 for times in reader.values()) for reader in received)
    return {
        "join_seconds": joined - began,
        "median_ms": 1000 * statistics.median(latencies),
        "p99_ms": 1000 * statistics.quantiles(latencies, n=100)[98],
        "cpu_seconds": cpu,
        "seconds": took,
        "memory_mb": running.memory_mb(),
        "exact_readers": exact,
    }


def _write(database: Database, job: Claim, first: int, last: int) -> dict[int, float]:
    """Write events and return their commit times by number."""
    committed = {}
    begin = time.monotonic()
    for index, number in enumerate(range(first, last + 1)):
        time.sleep(max(0.0, begin + index / EVENTS_PER_SECOND - time.monotonic()))
        write_epoch(database, job, 2, 100 + index)
        committed[number] = time.monotonic()
    return committed


def _outcome(measured: dict[str, list[dict[str, float]]], readers: int, events: int) -> Outcome:
    names = list(measured["shared"][0])
    figures = {
        way: {name: Figure(tuple(each[name] for each in results)) for name in names}
        for way, results in measured.items()
    }
    digits = {"median_ms": 0, "p99_ms": 0, "memory_mb": 0, "exact_readers": 0}
    ways = {"shared": "ours: one watcher a job", "polling": "each reader polls"}
    table = Table(
        f"{readers} readers of one job, {events} events at {EVENTS_PER_SECOND:g}/s, from commit to receipt",
        ["", *ways.values()],
        [[name, *(figures[way][name].shown(digits.get(name, 1)) for way in ways)] for name in names],
    )
    worst = figures["shared"]["exact_readers"].spread[0]
    return Outcome(
        [table],
        [Target(f"readers of {readers} that get every event once, in order", worst, at_least=readers)],
        {"fan_out": figures},
    )
