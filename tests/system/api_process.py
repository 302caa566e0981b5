"""`edgeface-finetune api` alone, to be killed."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

from tests.system.conftest import START_SECONDS, command, wait_until


@contextmanager
def api(var_dir: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    own = {"EDGEFACE_VAR_DIR": str(var_dir), "EDGEFACE_UPLOAD_KEEP_FREE_GB": "0"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE_")} | own
    log = var_dir.with_suffix(".log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            command("api", "--port", str(port)), env=environment, stderr=output, stdout=output, umask=0o022
        )
        try:
            wait_until(lambda: _answers(process, port, log), 2 * START_SECONDS, log.read_text)
            yield process
        finally:
            process.kill()
            process.wait()


def _answers(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with suppress(httpx2.TransportError):
        return httpx2.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    return False
