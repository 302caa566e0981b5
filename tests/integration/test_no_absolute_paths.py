"""No answer, report, event or line of the log tells where on the machine the service keeps its files."""

import io
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, update

from app.database import Database
from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from app.jobs.tables import Job
from app.logs import LogSetup, log_handler
from app.main import create_app
from app.settings import Settings
from app.shown_roots import shown_paths
from tests.integration.test_datasets import run_waiting_jobs
from tests.support.datasets import write_edgeface

SHORT = {"stage1_epochs": 1, "stage2_epochs": 1, "early_stop_patience": 0}


@pytest.fixture
def settings(var_dir: Path, tmp_path: Path) -> Settings:
    settings = Settings(var_dir=var_dir, datasets_dir=tmp_path / "faces of people", weights_dir=tmp_path / "weights")
    settings.make_directories()
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    write_drawn_faces(tmp_path / "photos", subjects=6, images_per_subject=3, seed=1)
    build_dataset(tmp_path / "photos", settings.datasets_dir / "good", test_fraction=0)
    return settings


@pytest.fixture
def log(settings: Settings) -> Iterator[io.StringIO]:
    """What this process logs, as `api` and `worker` write it."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = log_handler(LogSetup("api", "json", shown_paths(settings)), stream)
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


class Told:
    """Everything that the service has answered."""

    def __init__(self, api: TestClient, where: Path) -> None:
        self._api = api
        self._where = re.compile(re.escape(str(where)[1:]).encode())
        self.answers = 0

    def __call__(self, method: str, path: str, **more: Any) -> httpx2.Response:
        answer = self._api.request(method, path, **more)
        self.refuse(f"{method} {path}", answer.content)
        self.answers += 1
        return answer

    def refuse(self, what: str, content: bytes) -> None:
        found = self._where.search(content)
        assert found is None, (what, content[max(0, found.start() - 300) : found.end() + 200])


def break_image(settings: Settings, dataset: str) -> None:
    images = settings.datasets_dir / dataset / "train_processed" / "vlr_images"
    sorted(images.iterdir())[0].write_bytes(b"\x89PNG\r\n\x1a\n and no more")


@pytest.mark.slow
def test_nothing_that_the_service_tells_has_an_absolute_path_of_its_machine(
    api: TestClient,
    settings: Settings,
    tmp_path: Path,
    log: io.StringIO,
    capfd: pytest.CaptureFixture[str],
) -> None:
    told = Told(api, tmp_path)
    good, weights = settings.datasets_dir / "good", settings.weights_dir
    for name in ("unreadable", "listed", "gone", "empty", "linked"):
        shutil.copytree(good, settings.datasets_dir / name)
    shutil.copyfile(weights / "edgeface_xxs.pt", weights / "spoiled.pt")
    shutil.copyfile(weights / "edgeface_xxs.pt", weights / "lost.pt")
    (weights / "text.pt").write_text("no weights")

    # Refused at once.
    codes = {
        told("POST", "/jobs", json={"dataset": name, **more}).json()["code"]
        for name, more in {
            "none": {},
            "../faces": {},
            str(tmp_path / "faces of people" / "good"): {},
            "good/train_processed": {},
            "good": {"edgeface": "none.pt"},
            "unreadable": {"edgeface": "text.pt"},
            "listed": {"edgeface": "../edgeface_xxs.pt"},
        }.items()
    }
    assert {"dataset_not_found", "path_outside_roots", "weights_not_found", "weights_unreadable"} <= codes
    for image in sorted((settings.datasets_dir / "linked/val_processed/hr_images").iterdir())[:2]:
        image.rename(tmp_path / image.name)
        image.symlink_to(tmp_path / image.name)
    shutil.rmtree(settings.datasets_dir / "empty/val_processed/hr_images")
    for name in ("linked", "empty"):
        told("POST", "/jobs", json={"dataset": name, **SHORT})

    # Accepted, and then at fault in a way that only the worker sees.
    break_image(settings, "unreadable")
    jobs = {
        told("POST", "/jobs", json={"dataset": "good", **SHORT}).json()["id"]: "succeeded",
        told("POST", "/evaluations", json={"dataset": "good"}).json()["id"]: "succeeded",
        told("POST", "/jobs", json={"dataset": "unreadable", **SHORT}).json()["id"]: "failed",
        told("POST", "/jobs", json={"dataset": "gone", **SHORT}).json()["id"]: "failed",
        told("POST", "/jobs", json={"dataset": "good", "edgeface": "spoiled.pt", **SHORT}).json()["id"]: "failed",
        told("POST", "/jobs", json={"dataset": "good", "edgeface": "lost.pt", **SHORT}).json()["id"]: "failed",
    }
    told("POST", "/jobs?dry_run=true", json={"dataset": "good"})
    break_image(settings, "listed")
    shutil.rmtree(settings.datasets_dir / "gone")
    (weights / "spoiled.pt").write_bytes((weights / "spoiled.pt").read_bytes()[:5000])
    (weights / "lost.pt").unlink()
    for name in ("good", "listed"):
        assert told("POST", "/datasets", json={"dataset": name, "device": "cpu"}).status_code in (200, 201)
    run_waiting_jobs(settings)
    ended = {job: told("GET", f"/jobs/{job}").json() for job in jobs}
    assert {job: each["status"] for job, each in ended.items()} == jobs, ended
    errors = [each["error"] for each in ended.values() if each["error"] is not None]
    assert any("datasets/unreadable/train_processed/vlr_images/" in error["message"] for error in errors), errors
    assert any("weights/spoiled.pt" in error["message"] for error in errors), errors

    walk(api, told)
    assert "cannot read" in log.getvalue()
    for name, lines in (("API and worker", log.getvalue()), ("trainers", capfd.readouterr().err)):
        told.refuse(f"the log of {name}", lines.encode())


def walk(api: TestClient, told: Told) -> None:
    """Request every GET route with every job and dataset."""
    jobs = [job["id"] for job in told("GET", "/jobs?limit=100").json()["jobs"]]
    datasets = told("GET", "/datasets").json()
    assert datasets["root"] == "datasets"
    assert told("GET", "/weights").json()["root"] == "weights"
    named: dict[str, list[str]] = {
        "{job_id}": jobs,
        "{dataset}": [*datasets["names"], "none", *(each["id"] for each in datasets["datasets"])],
        "{dataset_id}": [each["id"] for each in datasets["datasets"]],
        "{upload_id}": ["0" * 24],
    }
    for path, methods in api.get("/openapi.json").json()["paths"].items():
        if "get" in methods:
            values = next((names for place, names in named.items() if place in path), [""])
            for value in values:
                told("GET", re.sub(r"\{\w+\}", value, path))
    assert [job for job in jobs if api.get(f"/jobs/{job}/report").status_code == 200] != []
    assert told.answers > 60


def test_rows_of_earlier_versions_are_shown_without_them(api: TestClient, settings: Settings, tmp_path: Path) -> None:
    job = api.post("/jobs", json={"dataset": "good"}).json()["id"]
    database = Database(settings.database_url)
    message = f"cannot read {settings.datasets_dir}/good/a.png and {os.fspath(tmp_path)}/other"
    error = {"code": "image_unreadable", "message": message, "hint": "look", "blame": "data"}
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job).values(error=error, status="failed"))
    database.close()
    shown = api.get(f"/jobs/{job}").json()["error"]["message"]
    assert shown.startswith("cannot read datasets/good/a.png and tmp/")
