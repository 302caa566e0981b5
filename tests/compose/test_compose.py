"""`docker compose up` on a real engine: a job ends, one whose worker is killed resumes, and nothing is left."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from app.client import Client
from app.jobs.states import JobStatus
from tests.compose.engine import Engine, NoEngine, docker_engine
from tests.compose.images import build_images, remove_images
from tests.compose.service import ComposeService
from tests.system.conftest import wait_until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1800)]

CONFIG = {"dataset": "drawn", "stage1_epochs": 1, "stage2_epochs": 2}
LONG = CONFIG | {"stage2_epochs": 200, "early_stop_patience": 200}
JOB_SECONDS = 180.0
NAMES = ("api", "worker-cpu", "redis")

# Of the first process below docker-init: the service's own.
KILL_SERVICE = """
import os, signal
os.kill(int(open("/proc/1/task/1/children").read().split()[0]), signal.SIGKILL)
"""
PROCESSES = """
import pathlib
for status in pathlib.Path("/proc").glob("[0-9]*/status"):
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    print(fields["Uid"].split()[1], fields["CapEff"].strip(), fields["CapBnd"].strip(), fields["NoNewPrivs"].strip())
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    try:
        with docker_engine() as engine:
            yield engine
    except NoEngine as none:
        if os.environ.get("CI") == "true" and os.geteuid() == 0:
            raise
        pytest.skip(str(none))


@pytest.fixture(scope="module")
def service(engine: Engine, drawn_inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComposeService]:
    folder = tmp_path_factory.mktemp("compose")
    build_images(engine, folder)
    service = ComposeService.prepare(engine, folder, drawn_inputs)
    try:
        service.up()
        yield service
    finally:
        service.down()
        remove_images(engine)


def wait_for(client: Client, job_id: str, service: ComposeService, status: JobStatus = JobStatus.SUCCEEDED) -> None:
    wait_until(lambda: client.get(job_id).terminal, JOB_SECONDS, service.logs)
    job = client.get(job_id)
    assert job.status == status, (job.error, service.logs())


def test_a_job_ends_and_its_checkpoint_is_downloaded(service: ComposeService) -> None:
    with service.client() as client:
        job = client.submit(CONFIG)
        wait_for(client, job.id, service)
    headers = {"Authorization": f"Bearer {service.key}"}
    answer = httpx2.get(f"{service.url}/jobs/{job.id}/checkpoint", headers=headers)
    assert answer.headers["ETag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'


def test_a_job_whose_worker_is_killed_resumes(service: ComposeService) -> None:
    with service.client() as client:
        job = client.submit(LONG)
        wait_until(
            lambda: (client.get(job.id).stage or 0, client.get(job.id).epoch or 0) >= (2, 3), JOB_SECONDS, service.logs
        )
        service.python("worker-cpu", KILL_SERVICE)
        wait_until(lambda: len(client.attempts(job.id).attempts) == 2, JOB_SECONDS, service.logs)
        wait_until(lambda: client.attempts(job.id).attempts[1].receipt is not None, JOB_SECONDS, service.logs)
        receipt = client.attempts(job.id).attempts[1].receipt
        assert receipt is not None
        assert (receipt.from_attempt, receipt.stage) == (1, 2)
        assert service.inspect("worker-cpu")["RestartCount"] == 1
        client.cancel(job.id)
        wait_for(client, job.id, service, JobStatus.CANCELLED)


@pytest.mark.parametrize("name", NAMES)
def test_a_container_is_confined(service: ComposeService, name: str) -> None:
    host = service.inspect(name)["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Memory"] > 0
    assert host["PidsLimit"] > 0
    tried = service.execute(name, "sh", "-c", "touch /x /usr/x /opt/x 2>&1; true")
    assert tried.count("Read-only file system") == 3


@pytest.mark.parametrize("name", ["api", "worker-cpu"])
def test_no_process_is_root_or_has_a_capability(service: ComposeService, name: str) -> None:
    lines = service.python(name, PROCESSES).splitlines()
    assert lines
    assert {line for line in lines if not line.startswith("10001 ")} == set()
    assert {line.split(maxsplit=1)[1] for line in lines} == {f"{0:016x} {0:016x} 1"}


def test_the_images_hold_what_they_are_for(service: ComposeService) -> None:
    found = "import importlib.util as u; print([n for n in ('torch', 'timm') if u.find_spec(n)])"
    assert service.python("api", found).strip() == "[]"
    assert service.python("worker-cpu", "import torch; print(torch.version.cuda)").strip() != "None"


def test_redis_lets_nobody_in_without_the_password(service: ComposeService) -> None:
    assert "NOAUTH" in service.execute("redis", "redis-cli", "ping")
    authenticated = 'REDISCLI_AUTH="$(cat /run/secrets/redis_password)" redis-cli ping'
    assert service.execute("redis", "sh", "-c", authenticated).strip() == "PONG"
    for name in NAMES:
        assert service.redis_password not in str(service.inspect(name))
    arguments = service.execute("redis", "sh", "-c", "cat /proc/[0-9]*/cmdline")
    assert service.redis_password not in arguments
    assert service.redis_password not in service.logs()


@pytest.mark.parametrize("name", NAMES)
def test_a_container_becomes_healthy(service: ComposeService, name: str) -> None:
    wait_until(lambda: service.inspect(name)["State"]["Health"]["Status"] == "healthy", 120.0, service.logs)


def test_who_has_no_key_gets_nothing(service: ComposeService) -> None:
    assert httpx2.get(f"{service.url}/jobs").status_code == 401
    assert service.key not in service.logs()


def test_down_leaves_nothing_running(service: ComposeService) -> None:
    """The last test of the module: it ends the service."""
    containers = {name: service.container(name) for name in NAMES}
    service.engine.compose("stop")
    ended = {name: service.engine.inspect(container)["State"] for name, container in containers.items()}
    # 143: uvicorn has shut down, and ends by the signal that it was asked with. 137 would be a kill.
    assert {state["ExitCode"] for state in ended.values()} <= {0, 143}, (ended, service.logs())
    service.down()
    assert (
        service.engine.docker(
            "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={service.project}"
        )
        == ""
    )
    assert service.engine.docker("volume", "ls", "--quiet", "--filter", f"name={service.project}") == ""
    # Ours, by what only they have in their environment or arguments.
    assert not [path for path in Path("/proc").glob("[0-9]*/environ") if _mentions(path, "/run/secrets/redis_password")]


def _mentions(path: Path, text: str) -> bool:
    try:
        return text.encode() in path.read_bytes()
    except OSError:
        return False  # it has ended, or it is not ours to read
