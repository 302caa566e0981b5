"""A Docker engine: the one that runs on this machine, or one of our own, which leaves nothing behind.

Our own needs root. Its processes have a PID namespace and mounts of their own: they end with this process, however it
ends. It starts without a bridge, and the tables of the firewall are put back at its end.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_SECONDS = 60.0
PACKAGES = {
    "dockerd": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
}
INSTALL = "EDGEFACE_INSTALL_ENGINE"
"""If 1, missing packages are installed, as they are under CI=true."""


class NoEngine(Exception):
    """Why there is no engine, and what to do."""


@dataclass
class Engine:
    """Commands against one engine. `docker_host` None: the machine's own."""

    docker_host: str | None
    environment: dict[str, str] = field(default_factory=dict)

    def docker(self, *arguments: str, stdin: str | None = None) -> str:
        return self.run([_docker(), *arguments], stdin=stdin)

    def inspect(self, name: str) -> dict[str, Any]:
        inspected: dict[str, Any] = json.loads(self.docker("inspect", name))[0]
        return inspected

    def run(self, command: Sequence[str], *, stdin: str | None = None, extra: Mapping[str, str] | None = None) -> str:
        """Return what the command printed on stdout. Fails with all of its output if it does not exit with 0."""
        environment = {**os.environ, **self.environment, **(extra or {}), "DOCKER_BUILDKIT": "1"}
        if self.docker_host is not None:
            environment["DOCKER_HOST"] = self.docker_host
        done = subprocess.run(command, env=environment, input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)[:500]}: status {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def compose(self, *arguments: str) -> str:
        return self.run([*_compose(), *arguments])


@contextlib.contextmanager
def docker_engine() -> Iterator[Engine]:
    """Raises NoEngine."""
    if _own_engine_answers():
        yield Engine(None)
        return
    if os.geteuid() != 0:
        raise NoEngine("no Docker engine answers, and only root can start one")
    _install_missing()
    with tempfile.TemporaryDirectory(prefix="edgeface-engine-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        with _firewall_put_back(), _daemon(Path(folder)) as docker_host:
            yield Engine(docker_host)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _daemon(folder: Path) -> Iterator[str]:
    host = f"unix://{folder}/docker.sock"
    namespaces = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child"]
    command = [
        *namespaces,
        "--mount-proc",
        "dockerd",
        f"--host={host}",
        f"--data-root={folder}/data",
        f"--exec-root={folder}/exec",
        f"--pidfile={folder}/docker.pid",
        "--bridge=none",
    ]
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not _answers({"DOCKER_HOST": host}):
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise NoEngine(f"dockerd does not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield host
    finally:
        daemon.kill()  # unshare, which takes its namespace's first process with it, and that all others
        daemon.wait()


@contextlib.contextmanager
def _firewall_put_back() -> Iterator[None]:
    """Containers' networks leave chains in the tables, and an interface if they are not removed."""
    for table in ("filter", "nat"):  # a table that nobody has looked at is not saved, and what comes into it would stay
        _output(["iptables", "--table", table, "--list-rules"])
    for table in ("filter", "nat"):  # a table that nobody has looked at is not saved, and what comes into it would stay
        _output(["iptables", "--table", table, "--list-rules"])
    for table in ("filter", "nat"):  # a table that nobody has looked at is not saved, and what comes into it would stay
        _output(["iptables", "--table", table, "--list-rules"])
    before, interfaces = _output(["iptables-save"]), _interfaces()
    try:
        yield
    finally:
        for interface in _interfaces() - interfaces:
            subprocess.run(["ip", "link", "delete", interface], check=False, capture_output=True)
        subprocess.run(["iptables-restore"], input=before, text=True, check=False, capture_output=True)


def _interfaces() -> set[str]:
    return {path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(("br-", "veth"))}


def _install_missing() -> None:
    missing = [package for command, package in PACKAGES.items() if shutil.which(command) is None]
    if not missing:
        return
    if os.environ.get("CI") != "true" and os.environ.get(INSTALL) != "1":
        raise NoEngine(f"{', '.join(missing)} is not installed: `make compose-check` installs it")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-qy", "--no-install-recommends", *missing, "iptables"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoEngine(f"{' '.join(command)} failed: {done.stderr[-1000:]}")


def _own_engine_answers() -> bool:
    return Path(_docker()).exists() and _answers({})


def _answers(environment: Mapping[str, str]) -> bool:
    command = [_docker(), "info", "--format", "{{.ServerVersion}}"]
    done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, check=False)
    return done.returncode == 0


def _docker() -> str:
    """Debian's, where there is one: a machine may have another program of that name before it."""
    return "/usr/bin/docker" if Path("/usr/bin/docker").exists() else shutil.which("docker") or "/usr/bin/docker"


def _compose() -> list[str]:
    plugin = [_docker(), "compose"]
    done = subprocess.run([*plugin, "version"], capture_output=True, check=False)
    return plugin if done.returncode == 0 else ["docker-compose"]


def _output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
