"""The distribution edgeface-finetune-client, built, installed without the service, and used against a running API."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from app.api_models.job_status import JobStatus
from app.database import Database
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.jobs.transitions import attempts, recording
from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.servers import free_port

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("app", "client", "edgeface_finetune", "pyproject.toml")
SERVICE_ONLY = {"app", "celery", "fastapi", "kombu", "pydantic_settings", "PIL", "sqlalchemy", "sqlmodel", "torch"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools writes into the folder that it builds."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "src", "build", "dist"))
        else:
            shutil.copy(source, folder / name)
    build = "from backend import build_wheel; print(build_wheel('dist'))"
    subprocess.run([sys.executable, "-c", build], cwd=folder / "client", check=True, capture_output=True)
    (built,) = (folder / "client" / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that has the wheel and the distributions that it requires, and no other."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site_packages = folder / "lib" / version / "site-packages"
    uv = Path(sys.executable).with_name("uv")
    interpreter = folder / "bin" / "python"
    install: list[str | Path] = [
        uv,
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--offline",
        "--python",
        interpreter,
        wheel,
    ]
    subprocess.run(install, check=True, env={**os.environ, "UV_CACHE_DIR": str(folder / "cache")})
    (metadata,) = site_packages.glob("edgeface_finetune_client-*.dist-info")
    for required in _closure(Distribution.at(metadata)):
        for top in {Path(str(file)).parts[0] for file in required.files or () if ".." not in str(file)}:
            if not (site_packages / top).exists() and top != "__pycache__":
                (site_packages / top).symlink_to(Path(str(required.locate_file(top))))
    return interpreter


def _closure(root: Distribution) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    waiting = list(root.requires or ())
    while waiting:
        requirement = waiting.pop()
        name = re.split(r"[^\w.-]", requirement)[0].lower()
        if "extra ==" in requirement or name in found:
            continue
        try:
            found[name] = distribution(name)
        except ModuleNotFoundError:  # for another platform or version of Python
            continue
        waiting += found[name].requires or ()
    return list(found.values())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(var_dir=tmp_path / "var", port=free_port())
    settings.make_directories()
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def service(settings: Settings) -> Iterator[FastAPI]:
    application = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(application, port=settings.port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield application
    finally:
        application.state.service.stopping.set()
        server.should_exit = True
        thread.join()


def run(settings: Settings, *command: str | Path) -> str:
    environment = {"EDGEFACE_URL": f"http://127.0.0.1:{settings.port}", "PATH": os.environ["PATH"]}
    ended = subprocess.run(command, env=environment, cwd=settings.var_dir, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_importing_the_client_loads_nothing_of_the_service(python: Path, settings: Settings) -> None:
    code = "import sys, json, edgeface_finetune.cli.remote; print(json.dumps(sorted(sys.modules)))"
    modules = set(json.loads(run(settings, python, "-c", code)))
    assert "edgeface_finetune.client.client" in modules
    assert modules & SERVICE_ONLY == set()


@pytest.mark.parametrize("module", ["edgeface_finetune", "app.cli.remote"])
def test_importing_the_client_in_the_services_environment_loads_no_framework(module: str) -> None:
    code = f"import sys, json, {module}; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert set(json.loads(shown.stdout)) & (SERVICE_ONLY - {"app"}) == set()


def test_the_installed_client_submits_watches_and_downloads(
    python: Path, service: FastAPI, settings: Settings, tmp_path: Path
) -> None:
    command = python.with_name("edgeface-finetune")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"dataset": "faces"}))
    submit = (
        "import sys, edgeface_finetune as e\n"
        "with e.Client(sys.argv[1]) as client:\n"
        "    print(client.submit(e.FinetuneConfig(dataset='faces'), idempotency_key='monday').id)"
    )
    job_id = run(settings, python, "-c", submit, f"http://127.0.0.1:{settings.port}").strip()
    assert run(settings, command, "submit", "--idempotency-key", "monday", config).strip() == job_id
    content = _finish(service.state.service.database, settings, job_id)
    assert "epoch 1, score 0.9000" in run(settings, command, "watch", job_id)
    name = f"{job_id[-6:]}_edgeface_finetuned.pth"
    assert run(settings, command, "download", job_id).strip() == name
    assert (settings.var_dir / name).read_bytes() == content
    assert job_id in run(settings, command, "jobs", "--status", "succeeded")


def _finish(database: Database, settings: Settings, job_id: str) -> bytes:
    """What a worker does: write a checkpoint, and end the job."""
    content = b"a checkpoint"
    folder = f"{job_id}/attempt-1/best-epoch-001"
    (settings.artifacts_dir / folder).mkdir(parents=True)
    full, backbone = (
        WrittenFile(Path(folder) / name, len(content), hashlib.sha256(content).hexdigest())
        for name in ("edgeface_finetuned.pth", "edgeface_backbone.pth")
    )
    for file in (full, backbone):
        (settings.artifacts_dir / file.path).write_bytes(content)
    with database.writing() as session:
        claim = attempts.claim(session, job_id, "worker-1", 60.0)
        assert claim is not None
        attempts.begin_attempt(session, claim, None)
        recording.record_checkpoint(session, claim, Checkpoint(epoch=1, score=0.9, full=full, backbone=backbone))
        attempts.finish(session, claim, JobStatus.SUCCEEDED)
    return content
