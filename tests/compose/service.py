"""The service of docker-compose.yml, up."""

import contextlib
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from app.access.secrets import new_key
from app.client import Client
from tests.compose.engine import Engine
from tests.compose.images import API, REDIS, ROOT, WORKER
from tests.support.servers import free_port
from tests.system.conftest import wait_until

UP_SECONDS = 120.0

# The images of this check, and a lease after which a test does not wait long for another worker.
_OVERRIDE = {
    "services": {
        "api": {"image": API, "environment": {"EDGEFACE_LEASE_SECONDS": "10"}},
        "worker-cpu": {"image": WORKER, "environment": {"EDGEFACE_LEASE_SECONDS": "10"}},
        "redis": {"image": REDIS},
    }
}


@dataclass
class ComposeService:
    """One project, with a folder of its own for its data and its secrets."""

    engine: Engine
    folder: Path
    project: str
    port: int
    redis_password: str
    key: str

    @classmethod
    def prepare(cls, engine: Engine, folder: Path, inputs: Path) -> "ComposeService":
        """`inputs` has `datasets` and `weights`."""
        service = cls(
            engine=engine,
            folder=folder,
            project=f"edgeface-{secrets.token_hex(4)}",
            port=free_port(),
            redis_password=secrets.token_hex(16),
            key=new_key(),
        )
        for name, secret in (("redis_password", service.redis_password), ("admin_key", service.key)):
            (folder / name).write_text(f"{secret}\n")
            (folder / name).chmod(0o644)
        (folder / "override.json").write_text(json.dumps(_OVERRIDE))
        for path in (inputs, *inputs.rglob("*")):
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
        engine.environment |= {
            "COMPOSE_PROJECT_NAME": service.project,
            "COMPOSE_FILE": f"{ROOT / 'docker-compose.yml'}:{folder / 'override.json'}",
            "COMPOSE_PROFILES": "cpu",
            "EDGEFACE_DATASETS": str(inputs / "datasets"),
            "EDGEFACE_WEIGHTS": str(inputs / "weights"),
            "EDGEFACE_PUBLISH": f"127.0.0.1:{service.port}",
            "EDGEFACE_REDIS_PASSWORD_FILE": str(folder / "redis_password"),
            "EDGEFACE_ADMIN_KEY_FILE": str(folder / "admin_key"),
            "EDGEFACE_WORKER_MEMORY": "8g",
        }
        return service

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> Client:
        return Client(self.url, key=self.key)

    def up(self) -> None:
        self.engine.compose("up", "--detach", "--no-build")
        wait_until(self._is_ready, UP_SECONDS, self.logs)

    def down(self) -> None:
        self.engine.compose("down", "--volumes", "--remove-orphans")

    def logs(self) -> str:
        return self.engine.compose("logs", "--no-color")[-8000:]

    def container(self, name: str) -> str:
        """The id of the container of a service."""
        return self.engine.compose("ps", "--quiet", name).strip()

    def inspect(self, name: str) -> dict[str, Any]:
        return self.engine.inspect(self.container(name))

    def execute(self, name: str, *command: str) -> str:
        return self.engine.docker("exec", self.container(name), *command)

    def python(self, name: str, script: str) -> str:
        return self.execute(name, "python", "-c", script)

    def _is_ready(self) -> bool:
        with contextlib.suppress(httpx2.TransportError), self.client() as client:
            return client.ready().ready
        return False
