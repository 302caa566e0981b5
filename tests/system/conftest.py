"""The real command line, real processes, real signals."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx2
import psutil
import pytest

from app.client import Client
from app.drawn_faces import write_drawn_faces
from tests.support.datasets import write_edgeface
from tests.support.servers import free_port, postgresql_database, postgresql_server, redis_server

START_SECONDS = 90.0
STOP_SECONDS = 30.0


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "app.cli", *arguments]


@dataclass
class Machine:
    """A folder and an environment in which the commands run; every process started is ended with it."""

    var_dir: Path
    environment: dict[str, str]
    port: int = field(default_factory=free_port)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    logs: list[IO[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.url)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start `edgeface-finetune NAME`; its output goes to NAME.log."""
        log = (self.var_dir / f"{name}.log").open("ab")
        process = subprocess.Popen(
            command(name), env=self._environment(), stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        self.logs.append(log)
        self.processes.append(process)
        return process

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        environment = self._environment() | {"EDGEFACE_URL": self.url}
        done = subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def wait_until_ready(self) -> None:
        wait_until(self._ready, START_SECONDS, lambda: "not ready:\n" + self.log())

    def log(self) -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(self.var_dir.glob("*.log")))

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                process.send_signal(signal.SIGCONT)  # a frozen process does not end
        for process in self.processes:
            try:
                process.wait(STOP_SECONDS)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
        for log in self.logs:
            log.close()

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE_")}
        own = {"EDGEFACE_VAR_DIR": str(self.var_dir), "EDGEFACE_PORT": str(self.port)}
        return inherited | own | self.environment

    def _ready(self) -> bool:
        assert all(process.poll() is None for process in self.processes), self.log()
        with contextlib.suppress(httpx2.TransportError), self.client() as client:
            return client.ready().ready
        return False


def wait_until(condition: Callable[[], bool], seconds: float, complaint: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint() or "it did not happen in time"
        time.sleep(0.05)


def descendants(pid: int) -> list[psutil.Process]:
    children: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
    return children


def gone(processes: list[psutil.Process]) -> bool:
    return not any(map(_lives, processes))


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:  # it ended in between
        return False


@pytest.fixture(scope="session")
def drawn_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`weights/` and `datasets/drawn` of a service: untrained weights and drawn faces."""
    folder = tmp_path_factory.mktemp("inputs")
    write_edgeface(folder / "weights" / "edgeface_xxs.pt")
    write_drawn_faces(folder / "faces", subjects=6, images_per_subject=4, seed=0)
    arguments = ["dataset", "build", str(folder / "faces"), "--output", str(folder / "datasets" / "drawn")]
    subprocess.run(command(*arguments), check=True, capture_output=True)
    shutil.rmtree(folder / "faces")
    return folder


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Machine]:
    """Nothing but the defaults: SQLite and the filesystem."""
    machine = Machine(tmp_path, {})
    yield machine
    machine.close()


@pytest.fixture
def on_redis(tmp_path: Path) -> Iterator[Machine]:
    with redis_server() as broker:
        machine = Machine(tmp_path, {"EDGEFACE_BROKER_URL": broker})
        yield machine
        machine.close()


@pytest.fixture
def on_redis_and_postgresql(tmp_path: Path) -> Iterator[Machine]:
    with redis_server() as broker, postgresql_server() as server, postgresql_database(server) as database:
        machine = Machine(tmp_path, {"EDGEFACE_BROKER_URL": broker, "EDGEFACE_DATABASE_URL": database})
        yield machine
        machine.close()
