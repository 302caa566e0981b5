"""Crowds at once: readers, half-sent requests, uploads and lists of 10,000 jobs, while liveness is asked for.

The same crowd meets a bare FastAPI app in the same run, with uvicorn's own settings.
"""

import json
import math
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from app.database import Database
from app.jobs import queries
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions.fence import Claim
from app.settings import Settings
from benchmarks.api.jobs import CONFIG, running_job, write_epoch, write_progress
from benchmarks.api.processes import Server, server
from benchmarks.support import Outcome, Table, Target

MOST_MEMORY_MB = 300.0
MOST_LIVENESS_MS = 200.0
STEPS_PER_SECOND = 10.0
PROBE_SECONDS = 0.1
ARRIVAL_SECONDS = 5.0
"""The whole crowd connects at once. Until then, liveness is counted apart."""


def measure(folder: Path, *, quick: bool) -> Outcome:
    jobs, crowd, seconds = (200, (50, 60, 10), 4.0) if quick else (10_000, (1000, 1100, 200), 60.0)
    settings = Settings(var_dir=folder)
    settings.make_directories()
    database = Database(settings.database_url)
    database.migrate()
    _write_jobs(database, jobs)
    found: dict[str, dict[str, Any]] = {}
    job = running_job(database)
    stream = f"/jobs/{job.job_id}/events"
    with server("app.cli", "api", var_dir=folder, ready="/health/live") as ours:
        found["ours"] = _meet(ours, database, job, folder, stream, crowd, seconds)
    with server("benchmarks.api.peers", "crowded", var_dir=folder, ready="/health/live") as bare:
        found["bare"] = _meet(bare, database, job, folder, stream, crowd, seconds)
    with database.reading() as session:
        row = queries.get(session, job.job_id)
        unharmed = row.status == JobStatus.RUNNING and row.attempt == job.attempt
    database.close()
    return _outcome(found, jobs, crowd, unharmed=unharmed)


def _write_jobs(database: Database, jobs: int) -> None:
    """Write rows of ended jobs, with configs as long as they may be in every hundredth."""
    job = running_job(database)
    with database.reading() as session:
        row = queries.get(session, job.job_id)
        template = {name: getattr(row, name) for name in Job.model_fields}
    long = {**CONFIG.model_dump(mode="json"), "allowed_leaks": ["x" * 50] * 1000}
    with database.writing() as session:
        for number in range(jobs):
            changed: dict[str, Any] = {
                "id": f"{number:024x}",
                "status": JobStatus.SUCCEEDED,
                "lease_expires_at": None,
                "worker_id": None,
                "config": long if number % 100 == 0 else template["config"],
            }
            session.add(Job(**{**template, **changed}))


def _meet(
    running: Server,
    database: Database,
    job: Claim,
    folder: Path,
    stream: str,
    crowd: tuple[int, int, int],
    seconds: float,
) -> dict[str, Any]:
    output = folder / "crowd.json"
    output.unlink(missing_ok=True)
    readers, half_sent, uploads = crowd
    command = [sys.executable, "-m", "benchmarks.api.crowd", str(running.port), stream, f"--output={output}"]
    command += [f"--readers={readers}", f"--half-sent={half_sent}", f"--uploads={uploads}", f"--seconds={seconds}"]
    peak, wrote, step = running.memory_mb(), 0, 0
    with subprocess.Popen(command) as client, _Probe(running) as probe:
        begun = time.monotonic()
        while client.poll() is None:
            step += 1
            write_progress(database, job, step)
            if step % 20 == 0:
                wrote += 1
                write_epoch(database, job, 2, 100 + step)
            peak = max(peak, running.memory_mb())
            time.sleep(max(0.0, begun + step / STEPS_PER_SECOND - time.monotonic()))
    peak = max(peak, running.process.memory_info().rss / 1e6, _peak_mb(running))
    content: dict[str, Any] = json.loads(output.read_text()) if output.exists() else {}
    return content | probe.figures() | {"peak_memory_mb": peak, "epochs_written": wrote}


class _Probe:
    """Asks for liveness from a process that does nothing else of weight, each time over a new connection."""

    def __init__(self, running: Server) -> None:
        self._running = running
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._arrival: list[float] = []
        self._later: list[float] = []
        self._failed = 0
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> "_Probe":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._ended.wait(PROBE_SECONDS):
            begun = time.monotonic()
            try:
                answered = self._running.get("/health/live")[0] == 200
            except OSError:
                answered = False
            times = self._arrival if begun - self._began < ARRIVAL_SECONDS else self._later
            times.append(1e3 * (time.monotonic() - begun))
            self._failed += not answered

    def figures(self) -> dict[str, float]:
        ordered = sorted(self._later) or [float("nan")]
        return {
            "liveness_median_ms": statistics.median(ordered),
            "liveness_p99_ms": ordered[math.ceil(0.99 * len(ordered)) - 1],
            "liveness_most_ms": ordered[-1],
            "liveness_asked": len(ordered),
            "liveness_at_arrival_ms": max(self._arrival, default=float("nan")),
            "liveness_failed": self._failed,
        }


def _peak_mb(running: Server) -> float:
    """The largest resident memory so far, by Linux."""
    status = Path(f"/proc/{running.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1e3


def _outcome(found: dict[str, dict[str, Any]], jobs: int, crowd: tuple[int, int, int], *, unharmed: bool) -> Outcome:
    readers, half_sent, uploads = crowd
    said = {
        "peak_memory_mb": "peak memory, MB",
        "liveness_median_ms": "GET /health/live, median ms",
        "liveness_p99_ms": "p99 ms",
        "liveness_most_ms": "most ms",
        "liveness_at_arrival_ms": "most ms while all connect at once (5 s)",
        "liveness_failed": "not answered in 30 s",
        "lists_answered": "pages of 100 jobs answered",
        "lists_refused": "refused",
        "readers_served": "event streams that got news",
        "uploads_ended": "uploads of 1 MB that ended",
        "half_sent_open": "half-sent requests still open at the end",
    }
    rows = [[text, *(_shown(found[name].get(key)) for name in found)] for key, text in said.items()]
    title = (
        f"{jobs} jobs, {readers} readers, {half_sent} half-sent requests, {uploads} uploads at once; "
        f"the job {'is unharmed' if unharmed else 'WAS HARMED'}"
    )
    ours = found["ours"]
    return Outcome(
        [Table(title, ["", "ours", "bare FastAPI"], rows)],
        [
            Target("peak memory of the API, MB", ours["peak_memory_mb"], at_most=MOST_MEMORY_MB),
            Target("p99 of GET /health/live, ms", ours["liveness_p99_ms"], at_most=MOST_LIVENESS_MS),
            Target("the job is unharmed", float(unharmed), at_least=1.0),
        ],
        {"crowd": found},
    )


def _shown(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, int | float) else "-"
