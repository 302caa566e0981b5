"""Submits jobs, kills processes, waits for the end."""

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from app.api_models.job import JobView
from app.client import Client
from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from tests.chaos.services import Installation, wait_until_ready
from tests.chaos.tokens import Tokens
from tests.support.datasets import write_edgeface

JOBS = 40
_WAITING_AT_ONCE = 4
_END_SECONDS = 300.0
_FAULTS_IN_A_START = 7
"""So many while a process starts, on this machine and as busy as it is: more, and nothing would ever be up."""
_KILLED_AT_START = 0.05

CONFIGS: list[dict[str, Any]] = [
    {
        "dataset": "drawn",
        "device": "cpu",
        "batch_size": 8,
        "num_workers": 0,
        "stage1_epochs": 1,
        "stage2_epochs": epochs,
        "early_stop_patience": 0,
        "backbone_lr": 1e-4,
        "seed": seed,
    }
    for seed, epochs in ((1, 3), (2, 3), (3, 4), (4, 2))
]


@dataclass
class Submitted:
    """What a person knows of: the ids that were answered, by the key that each was asked for with."""

    job_of_key: dict[str, str] = field(default_factory=dict)
    config_of_job: dict[str, int] = field(default_factory=dict)


def prepare_inputs(installation: Installation) -> None:
    settings = installation.settings
    settings.make_directories()
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    write_drawn_faces(installation.folder / "faces", subjects=6, images_per_subject=5, seed=0)
    build_dataset(
        installation.folder / "faces",
        settings.datasets_dir / "drawn",
        vlr_size=16,
        split="images",
        val_fraction=0.3,
        test_fraction=0,
        seed=0,
    )


def run_undisturbed(installation: Installation) -> tuple[list[JobView], float]:
    """Each config's job without any fault: what the others are compared with; and the seconds of a start."""
    start_seconds = wait_until_ready(installation)
    with installation.client() as client:
        jobs = [client.submit(config).id for config in CONFIGS]
        return [_wait_for_end(client, job_id) for job_id in jobs], start_seconds


def run_disturbed(
    installation: Installation, kills: int, seed: int, jobs: int = JOBS, start_seconds: float = 4.0
) -> Submitted:
    """Kill until the tokens are spent and at least `jobs` jobs are submitted, then let the rest end."""
    tokens = Tokens(installation.folder / "chaos")
    tokens.issue(kills)
    submitted = Submitted()
    over = threading.Event()
    submitter = threading.Thread(target=_submit, args=(installation, submitted, tokens, jobs, over))
    submitter.start()
    installation.chaos = True
    faults = Faults(installation, tokens, random.Random(seed), start_seconds / _FAULTS_IN_A_START)
    while tokens.left() or submitter.is_alive():
        installation.keep_running()
        time.sleep(faults.pause())
        faults.next()
    installation.chaos = False
    over.set()
    submitter.join()
    _wait_for_all(installation)
    return submitted


class Faults:
    """One fault after the other, as the random numbers say."""

    def __init__(self, installation: Installation, tokens: Tokens, drawn: random.Random, mean_pause: float) -> None:
        self._mean_pause = mean_pause
        self._installation = installation
        self._tokens = tokens
        self._random = drawn
        self._frozen: list[threading.Timer] = []

    def pause(self) -> float:
        return self._random.expovariate(1 / self._mean_pause)

    def next(self) -> None:
        kinds = {"trainer": 60, "worker-1": 3, "worker-2": 3, "api": 6, "machine": 1, "freeze": 1, "terminate": 2}
        if self._installation.on_redis:
            kinds |= {"redis": 4, "flush": 3}
        kind = self._random.choices(list(kinds), list(kinds.values()))[0]
        match kind:
            case "trainer":
                self._kill_trainer()
            case "machine":
                if all(map(self._may_be_killed, self._installation.services)) and self._tokens.spend("machine"):
                    self._kill_all()
            case "freeze":
                self._freeze(self._random.choice(["worker-1", "worker-2"]))
            case "terminate":
                self._terminate(self._random.choice(["worker-1", "worker-2", "api"]))
            case "flush":
                with contextlib.suppress(redis.RedisError):
                    redis.Redis.from_url(self._installation.settings.broker_url).flushall()
            case _:
                if self._may_be_killed(kind) and self._tokens.spend(kind):
                    self._installation.services[kind].send(signal.SIGKILL)

    def _may_be_killed(self, name: str) -> bool:
        """Seldom while it starts: on a slow machine nothing would ever be up."""
        return self._installation.works(name) or self._random.random() < _KILLED_AT_START

    def _kill_trainer(self) -> None:
        trainers = self._installation.trainers()
        if trainers and self._tokens.spend("trainer"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._random.choice(trainers), signal.SIGKILL)

    def _kill_all(self) -> None:
        for pid in self._installation.trainers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for service in self._installation.services.values():
            service.send(signal.SIGKILL)

    def _terminate(self, name: str) -> None:
        if self._may_be_killed(name):
            self._installation.services[name].send(signal.SIGTERM)

    def _freeze(self, name: str) -> None:
        """Past its lease: it wakes to find its job taken."""
        service = self._installation.services[name]
        service.send(signal.SIGSTOP)
        lease = self._installation.settings.lease_seconds
        timer = threading.Timer(lease * 1.3, service.send, [signal.SIGCONT])
        timer.daemon = True
        timer.start()


def _submit(installation: Installation, submitted: Submitted, tokens: Tokens, jobs: int, over: threading.Event) -> None:
    """Keep a few jobs waiting; at least `jobs` in all, and more while kills are left."""
    with installation.client() as client:
        for number in itertools.count():
            if number >= jobs and (over.is_set() or not tokens.left()):
                return
            key = f"chaos-{number}"
            job = client.submit(CONFIGS[number % len(CONFIGS)], idempotency_key=key)
            submitted.job_of_key[key] = job.id
            submitted.config_of_job[job.id] = number % len(CONFIGS)
            while sum(not each.terminal for each in _all_jobs(client)) > _WAITING_AT_ONCE:
                time.sleep(0.2)


def _all_jobs(client: Client) -> list[JobView]:
    found, cursor = [], None
    while True:
        page = client.list(cursor=cursor, limit=100)
        found += page.jobs
        if (cursor := page.next_cursor) is None:
            return found


def _wait_for_all(installation: Installation) -> None:
    deadline = time.monotonic() + _END_SECONDS
    with installation.client() as client:
        while time.monotonic() < deadline:
            installation.keep_running()
            if all(job.terminal for job in _all_jobs(client)):
                return
            time.sleep(0.2)


def _wait_for_end(client: Client, job_id: str) -> JobView:
    for _ in client.events(job_id):
        pass
    return client.get(job_id)


def logs_of(folder: Path) -> str:
    return "\n".join(f"{path.name}:\n{path.read_text(errors='replace')[-3000:]}" for path in folder.glob("*.log"))
