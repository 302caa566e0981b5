"""Requests per second of GET /jobs/{id}, compared with bare FastAPI routes that return the same body."""

import threading
from dataclasses import dataclass
from pathlib import Path

from app.database import Database
from app.jobs.transitions.fence import Claim
from app.settings import Settings
from benchmarks.api.jobs import running_job, write_progress
from benchmarks.api.load import CONNECTIONS, client_name, requests_per_second
from benchmarks.api.processes import Server, server
from benchmarks.support import Figure, Outcome, Table, Target, ratios

WARM_UP_SECONDS = 2
WRITES_PER_SECOND = 5.0
WANTED = 0.5


def measure(folder: Path, *, quick: bool) -> Outcome:
    seconds, repeats = (1, 2) if quick else (3, 7)
    settings = Settings(var_dir=folder)
    settings.make_directories()
    database = Database(settings.database_url)
    database.migrate()
    job = running_job(database)
    path = f"/jobs/{job.job_id}"
    with server("app.cli", "api", var_dir=folder, ready="/health/live") as ours:
        body = _body(ours, path)
        (folder / "body.json").write_bytes(body)
        with server("benchmarks.api.peers", "bare", str(folder / "body.json"), var_dir=folder, ready="/docs") as bare:
            routes = {
                "bare, bytes": (bare, path.replace("jobs", "bytes")),
                "ours": (ours, path),
                "ours, written": (ours, path),
                "bare, dict": (bare, path.replace("jobs", "dict")),
            }
            assert _body(bare, routes["bare, bytes"][1]) == body
            measured: dict[str, dict[int, list[_Measured]]] = {name: {1: [], CONNECTIONS: []} for name in routes}
            for turn in range(-1, repeats):  # the first is warm-up
                for name, (running, where) in routes.items():
                    with _Writer(database, job, write=name.endswith("written")):
                        for connections, results in measured[name].items():
                            if turn < 0:
                                requests_per_second(running.port, where, WARM_UP_SECONDS, connections)
                            else:
                                results.append(_measure_once(running, where, seconds, connections))
    database.close()
    return _outcome(measured, body)


@dataclass(frozen=True)
class _Measured:
    per_second: float
    cpu_microseconds: float
    """CPU time of the server per request."""


def _measure_once(running: Server, path: str, seconds: int, connections: int) -> _Measured:
    before = running.cpu_seconds()
    found = requests_per_second(running.port, path, seconds, connections)
    return _Measured(found, 1e6 * (running.cpu_seconds() - before) / (found * seconds))


def _body(running: Server, path: str) -> bytes:
    status, body = running.get(path)
    assert status == 200, body
    return body


class _Writer:
    """Writes the job's progress in a thread, as its worker does during a training."""

    def __init__(self, database: Database, job: Claim, *, write: bool) -> None:
        self._database = database
        self._job = job
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write) if write else None

    def __enter__(self) -> None:
        if self._thread is not None:
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _write(self) -> None:
        step = 0
        while not self._stopped.wait(1 / WRITES_PER_SECOND):
            step += 1
            write_progress(self._database, self._job, step)


def _outcome(measured: dict[str, dict[int, list[_Measured]]], body: bytes) -> Outcome:
    said = {
        "bare, bytes": "a bare async route, prepared bytes",
        "bare, dict": "a bare async route, FastAPI serialises a dict",
        "ours": "GET /jobs/{id}, no commits",
        "ours, written": f"GET /jobs/{{id}}, {WRITES_PER_SECOND:g} commits/s",
    }
    outcome = Outcome()
    for connections in (CONNECTIONS, 1):
        rates = {name: Figure(tuple(x.per_second for x in each[connections])) for name, each in measured.items()}
        cpu = {name: Figure(tuple(x.cpu_microseconds for x in each[connections])) for name, each in measured.items()}
        shares = {name: ratios(rate, rates["bare, bytes"]) for name, rate in rates.items()}
        outcome.tables.append(
            Table(
                f"Requests/s of {len(body)} bytes, {connections} connections, {client_name()}, one process each",
                ["", "requests/s", "of the bare route", "server's CPU us a request"],
                [
                    [text, rates[name].shown(0), shares[name].shown(2), cpu[name].shown(0)]
                    for name, text in said.items()
                ],
            )
        )
        outcome.targets += [
            Target(f"{said[name]}, {connections} connections: share of the bare route", shares[name].median, WANTED)
            for name in ("ours", "ours, written")
        ]
        outcome.figures[f"requests_{connections}_connections"] = {
            name: {"per_second": rates[name], "of_bare": shares[name], "cpu_microseconds": cpu[name]} for name in said
        }
    return outcome
