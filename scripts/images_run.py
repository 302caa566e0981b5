"""Runs a job through the api and worker images without a container engine.

    images_run.py FOLDER    # FOLDER holds api.json and worker.json: `buildah inspect` of a mounted container

Each image's start command runs in the image's root, with its user and environment, as the first process of new
namespaces. The images share a network without access to the outside, as in a pod, so they cannot load anything that
they lack. Call it as root, with `unshare --mount --net`; it leaves both namespaces changed.
"""

import hashlib
import http.client
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FINAL = ("succeeded", "failed", "cancelled")
# What docker-compose.yml adds to the images.
VOLUMES = {"var": "/var/lib/edgeface"}
READ_ONLY = {"datasets": "/data/datasets", "weights": "/data/weights"}
COMPOSE_ENVIRONMENT = {"EDGEFACE_BROKER_URL": "redis://redis:6379/0"}

# The arguments: root, host name, user and group, working folder, then the command with its environment.
# What it mounts is what an engine gives a container: /proc, a small /dev, a /tmp, and the names of its network.
ENTER_ROOT = """
set -eu
root=$1 name=$2 user=$3 folder=$4
shift 4
hostname "$name"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
ln -s /proc/self/fd "$root/dev/fd"
mkdir -m 1777 "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmp "$root/tmp"
echo "127.0.0.1 localhost redis $name" >"$root/etc/hosts"
exec chroot --userspec="$user" "$root" /usr/bin/env --ignore-environment --chdir="$folder" "$@"
"""


class Wrong(Exception):
    """Something is not as it must be; the message says what."""


class Answer(NamedTuple):
    status: int
    body: bytes
    etag: str | None


class Container:
    """An image's root and how its config wants commands run in it."""

    def __init__(self, name: str, folder: Path) -> None:
        inspected = json.loads((folder / f"{name}.json").read_text())
        self.name = name
        self.root = Path(inspected["MountPoint"])
        self.config: dict[str, Any] = inspected["Docker"]["config"]
        self.log = folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def user(self) -> str:
        return str(self.config["User"])

    @property
    def _environment(self) -> list[str]:
        ours = [f"{key}={value}" for key, value in COMPOSE_ENVIRONMENT.items()]
        return [*self.config["Env"], f"HOME={self.config['WorkingDir']}", *ours]

    def mount(self, source: Path, target: str) -> None:
        # As Docker does with a new named volume: it takes the owner of the folder it is mounted on.
        owner = (self.root / target.lstrip("/")).stat()
        os.chown(source, owner.st_uid, owner.st_gid)
        _run(["mount", "--bind", str(source), f"{self.root}{target}"])

    def make_read_only(self, target: str) -> None:
        _run(["mount", "-o", "remount,bind,ro", f"{self.root}{target}"])

    def _command(self, command: list[str], user: str) -> list[str]:
        namespaces = ["unshare", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        entering = ["sh", "-c", ENTER_ROOT, "sh", str(self.root), self.name, user, self.config["WorkingDir"]]
        return [*namespaces, *entering, *self._environment, *command]

    def start(self) -> None:
        """Run the image's start command and leave it running."""
        print(f"{self.name}: {shlex.join(self.config['Cmd'])} as {self.user}")
        with self.log.open("wb") as log:
            command = self._command(self.config["Cmd"], self.user)
            self.process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603

    def run(self, *command: str, user: str | None = None) -> str:
        """Run another command in a fresh container of the image, to its end."""
        done = _finish(self._command(list(command), user or self.user))
        _require(done.returncode == 0, f"in the {self.name} image, {shlex.join(command)}: {_account(done)}")
        return done.stdout

    def healthy(self) -> bool:
        """Run the image's health check in the running container."""
        command = self.config["Healthcheck"]["Test"][1:]
        uid, gid = self.user.split(":")
        inside = ["nsenter", f"--target={self.first_process()}", "--all", "--root", "--wd"]
        inside += [f"--setuid={uid}", f"--setgid={gid}", "/usr/bin/env", "--ignore-environment", *self._environment]
        return subprocess.run([*inside, *command], check=False, timeout=60).returncode == 0  # noqa: S603

    def first_process(self) -> int:
        """The process that is number 1 inside, by its number here."""
        process = self._running()
        while True:
            _require(process.poll() is None, f"{self.name} has ended by itself with status {process.returncode}")
            if children := Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text():
                return int(children)
            time.sleep(0.01)  # unshare has not come to its fork yet

    def processes(self) -> set[tuple[str, str, int]]:
        """Container, command and effective user of every process that runs in it."""
        namespace = Path(f"/proc/{self.first_process()}/ns/pid").readlink()
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if (process / "ns/pid").readlink() == namespace:
                    uids = (process / "status").read_text().split("\nUid:", 1)[1].split()
                    found.add((self.name, (process / "comm").read_text().strip(), int(uids[1])))
            except OSError:
                continue  # it has ended meanwhile
        return found

    def stop(self, within_seconds: float) -> None:
        """Send the image's stop signal to process 1, as an engine does, and see it end well."""
        process, signal, started = self._running(), self.config["StopSignal"], time.monotonic()
        _run(["kill", f"-{signal}", str(self.first_process())])
        status = process.wait(within_seconds)
        print(f"{self.name}: ended {time.monotonic() - started:.1f} s after {signal} with status {status}")
        _require(status == 0, f"{self.name} ended with status {status}")

    def _running(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise Wrong(f"{self.name} was not started")
        return self.process


def main(folder: Path) -> None:
    _run(["mount", "--make-rprivate", "/"])
    _run(["ip", "link", "set", "lo", "up"])
    api, worker = Container("api", folder), Container("worker", folder)
    for name in (*VOLUMES, *READ_ONLY):
        (folder / name).mkdir()
    for container in (api, worker):
        for name, target in {**VOLUMES, **READ_ONLY}.items():
            container.mount(folder / name, target)
    redis_command = ["redis-server", "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
    with (folder / "redis.log").open("wb") as log:
        redis = subprocess.Popen(redis_command, stdout=log)  # noqa: S603
    try:
        _check_torch(api, worker)
        _make_inputs(worker)
        for container in (api, worker):
            for target in READ_ONLY.values():
                container.make_read_only(target)
        api.start()
        worker.start()
        _check_health(api, worker)
        job = _run_job(api, worker)
        _check_checkpoint(job, worker, folder / "weights")
        worker.stop(30)
        ready = _request("GET", "/health/ready")
        _require(ready.status == 503, f"the worker has stopped, yet ready says {ready}")
        api.stop(15)
    except BaseException:
        for container in (api, worker):
            if container.log.exists():
                print(f"\n-- {container.name}'s log ends\n{container.log.read_text()[-6000:]}\n")
        raise
    finally:
        for process in (api.process, worker.process, redis):
            if process is not None:
                process.kill()
                process.wait()


def _check_torch(api: Container, worker: Container) -> None:
    found = "import importlib.util as u; print([n for n in ('torch', 'timm', 'numpy') if u.find_spec(n)])"
    _require(api.run("python", "-c", found).strip() == "[]", "the api image has packages of the worker")
    version = worker.run("python", "-c", "import torch; print(torch.__version__, torch.version.cuda or '')").split()
    print(f"api: no torch; worker: torch {version[0]}, built for CUDA {' '.join(version[1:])}")
    _require(len(version) == 2, "the worker's torch is not built for CUDA")


def _make_inputs(worker: Container) -> None:
    """A drawn dataset and untrained weights, made in the worker's image by root, as a person fills the folders."""
    script = """
from pathlib import Path
import torch
from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from worker.training.models.edgeface import new_edgeface
write_drawn_faces(Path("/tmp/faces"), 6, 8, 0)
data = Path("/data/datasets/drawn")
build_dataset(Path("/tmp/faces"), data, split="images", val_fraction=0.25, test_fraction=0, seed=0)
torch.save(new_edgeface("edgeface_xxs", 0).state_dict(), "/data/weights/untrained_xxs.pt")
"""
    worker.run("python", "-c", script, user="0:0")


def _check_health(api: Container, worker: Container) -> None:
    _wait("GET /health/live", lambda: _request("GET", "/health/live").status == 200, api, worker)
    _wait("GET /health/ready: a worker seen", lambda: _request("GET", "/health/ready").status == 200, api, worker)
    for container in (api, worker):
        _wait(f"{container.name}'s own health check", container.healthy, api, worker)


def _run_job(api: Container, worker: Container) -> dict[str, Any]:
    config = {"dataset": "drawn", "edgeface": "untrained_xxs.pt", "stage1_epochs": 1, "stage2_epochs": 1}
    submitted = _request("POST", "/jobs", json.dumps(config))
    _require(submitted.status == 201, f"POST /jobs: {submitted}")
    job: dict[str, Any] = json.loads(submitted.body)
    started, seen, processes = time.monotonic(), "", set[tuple[str, str, int]]()
    while seen not in FINAL and time.monotonic() - started < 180:
        processes |= api.processes() | worker.processes()
        job = json.loads(_request("GET", f"/jobs/{job['id']}").body)
        if job["status"] != seen:
            seen = job["status"]
            print(f"job {job['id']}: {seen} after {time.monotonic() - started:.1f} s")
        time.sleep(0.1)
    _require(seen == "succeeded", f"the job is {seen}: {job.get('error')}")
    print("processes while it ran:", *(f"{name} {command} (user {user});" for name, command, user in sorted(processes)))
    _require(all(user for *_, user in processes), "a process runs as root")
    return job


def _check_checkpoint(job: Mapping[str, Any], worker: Container, weights: Path) -> None:
    answer = _request("GET", f"/jobs/{job['id']}/checkpoint")
    _require(answer.status == 200, f"GET checkpoint: {answer}")
    digest = hashlib.sha256(answer.body).hexdigest()
    _require(answer.etag == f'"{digest}"', f"the checkpoint's ETag is {answer.etag}, its sha256 {digest}")
    (weights / "edgeface_finetuned.pth").write_bytes(answer.body)
    load = "import torch; c = torch.load('/data/weights/edgeface_finetuned.pth', weights_only=True); "
    load += "print(len(c['backbone_state_dict']), 'backbone tensors,', len(c['subject_to_id']), 'subjects')"
    print(f"checkpoint: {len(answer.body)} bytes, sha256 as its ETag; {worker.run('python', '-c', load).strip()}")


def _wait(what: str, answers: Callable[[], bool], *running: Container) -> None:
    deadline = time.monotonic() + 60
    while True:
        for container in running:
            container.first_process()
        try:
            if answers():
                print(f"{what}: yes")
                return
        except OSError:
            pass
        _require(time.monotonic() < deadline, f"{what}: not within 60 s")
        time.sleep(0.2)


def _request(method: str, path: str, body: str | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=30)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return Answer(response.status, response.read(), response.headers["ETag"])
    finally:
        connection.close()


def _run(command: list[str]) -> None:
    done = _finish(command)
    _require(done.returncode == 0, f"{shlex.join(command)}: {_account(done)}")


def _finish(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603


def _account(done: subprocess.CompletedProcess[str]) -> str:
    return f"status {done.returncode}\n{done.stdout}{done.stderr}"


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise Wrong(otherwise)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
