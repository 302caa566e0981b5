"""A service that is sent every hostile weights file at once: it refuses each, stays alive, and takes no memory."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.support.hostile_weights import HOSTILE, NOT_FILES
from tests.system.conftest import START_SECONDS, Machine, wait_until

MOST_MEMORY = 300 * 2**20
AT_ONCE = 8


def peak_memory(pid: int) -> int:
    """Bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@pytest.mark.slow
def test_a_service_outlives_every_hostile_weights_file(embedded: Machine, drawn_inputs: Path) -> None:
    shutil.copytree(drawn_inputs, embedded.var_dir, dirs_exist_ok=True)
    weights = embedded.var_dir / "weights"
    for number, (make, _, _) in enumerate(HOSTILE.values()):
        (weights / f"{number}.pth").write_bytes(make())
    NOT_FILES["a pipe"](weights / "pipe.pth")
    api = embedded.start("api")
    with httpx2.Client(base_url=embedded.url, timeout=120) as client, ThreadPoolExecutor(AT_ONCE) as threads:

        def is_alive() -> bool:
            try:
                return client.get("/health/live").status_code == 200
            except httpx2.TransportError:
                return False

        def submit(name: str) -> httpx2.Response:
            return client.post("/jobs", json={"dataset": "drawn", "dsr": name})

        wait_until(is_alive, START_SECONDS, embedded.log)
        waiting = [threads.submit(submit, f"{number}.pth") for number in range(len(HOSTILE))]
        while not all(answer.done() for answer in waiting):
            assert is_alive(), "while files are checked"
        for answer, (_, code, said) in zip(waiting, HOSTILE.values(), strict=True):
            problem = answer.result().json()
            assert (answer.result().status_code, problem["code"]) == (422, code)
            assert said in problem["detail"]
        assert submit("pipe.pth").status_code == 422
        assert not client.get("/jobs").json()["jobs"]
    assert peak_memory(api.pid) < MOST_MEMORY
    children = psutil.Process(api.pid).children(recursive=True)
    assert len(children) <= 1, "the server of the children, without a child"
    assert not os.listdir(embedded.var_dir / "artifacts")  # noqa: PTH208
