"""Runs servers and load generators in child processes on the loopback address."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 30.0


@dataclass(frozen=True)
class Server:
    port: int
    process: psutil.Process

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory_mb(self) -> float:
        return float(self.process.memory_info().rss) / 1e6

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


@contextlib.contextmanager
def server(module: str, *arguments: str, var_dir: Path, ready: str) -> Iterator[Server]:
    """Run `python -m MODULE ARGUMENTS --port N` and wait until the path `ready` returns 200."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    with process(module, *arguments, "--port", str(port), var_dir=var_dir) as running:
        started = Server(port, psutil.Process(running.pid))
        wait_until_ready(started, running, ready)
        yield started


@contextlib.contextmanager
def process(module: str, *arguments: str, var_dir: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE_")}
    environment["EDGEFACE_VAR_DIR"] = str(var_dir)
    # All requests come from one address, which sends more than the default rates let one caller send.
    environment |= {"EDGEFACE_RATE_OF_READS": "", "EDGEFACE_RATE_OF_WRITES": "", "EDGEFACE_MAX_QUEUED_JOBS": "100000"}
    with (var_dir / f"{module}.log").open("a") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def wait_until_ready(started: Server, running: "subprocess.Popen[bytes]", path: str) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and running.poll() is None:
        with contextlib.suppress(OSError):
            if started.get(path)[0] == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{running.args!r} does not answer at {path}; see its log")
