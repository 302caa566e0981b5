"""POST /dsr-trainings: what is refused, and real trainings of tiny networks on real faces through API and worker."""

import csv
import io
import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from app.database import Database
from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_dataset
from tests.unit.training.super_resolution.support import write_faces
from worker.process.openmp import let_waiting_threads_sleep
from worker.supervisor import Supervisor
from worker.trainer_process import train
from worker.training.models.dsr import load_dsr

let_waiting_threads_sleep()

TINY = {"dataset": "faces", "channels": 4, "blocks": 1, "factors": [2], "batch_size": 2, "epochs": 3, "device": "cpu"}
DEADLINE_SECONDS = 240.0


@pytest.fixture
def settings(var_dir: Path, shared_assets: Path) -> Settings:
    settings = Settings(var_dir=var_dir, heartbeat_seconds=0.1, stop_seconds=60.0)
    settings.make_directories()
    write_faces(shared_assets, settings.datasets_dir / "faces")
    shutil.copyfile(shared_assets / "weights" / "edgeface_xxs.pt", settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def work(settings: Settings) -> Iterator[Callable[[], threading.Thread]]:
    """Has a worker of its own do all jobs that wait."""
    database = Database(settings.database_url)
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["worker.training.super_resolution.train_dsr"]
    )  # or each trainer imports torch anew
    supervisor = Supervisor(database, settings, processes, train)
    threads: list[threading.Thread] = []

    def start() -> threading.Thread:
        threads.append(threading.Thread(target=supervisor.run_waiting_jobs))
        threads[-1].start()
        return threads[-1]

    yield start
    supervisor.stop()
    for thread in threads:
        thread.join()
    database.close()


def submitted(api: TestClient, **changes: object) -> str:
    answer = api.post("/dsr-trainings", json=TINY | changes)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    assert answer.headers["location"] == f"/jobs/{job_id}"
    return job_id


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def succeeded(api: TestClient, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = api.get(f"/jobs/{job_id}").json()
    assert job["status"] == "succeeded", job["error"]
    return job


def test_a_network_is_trained_told_and_handed_out(
    api: TestClient, settings: Settings, work: Callable[[], threading.Thread]
) -> None:
    job_id = submitted(api, vlr_sizes=[12, 16], epochs=2)
    work().join()
    job = succeeded(api, job_id)
    assert (job["kind"], job["progress"], job["predicted"]) == ("dsr_training", 1.0, None)
    assert job["config"]["factors"] == [2]
    assert job["facts"]["enlargement"] == "DSR: 4 channels, 1 residual blocks, factors 2"
    assert "At 12 px" in job["recognition"]["verdict"]
    assert job["recognition"]["before"]["auc"] > 0.5
    assert job["best"]["val_auc"] == pytest.approx(job["checkpoint"]["score"])
    assert {"report", "evaluation"} & job["links"].keys() == set()

    epochs = api.get(f"/jobs/{job_id}/metrics").json()["epochs"]
    assert [(epoch["stage"], epoch["epoch"], epoch["epochs"]) for epoch in epochs] == [(0, 1, 2), (0, 2, 2)]
    assert all(10 < epoch["val_psnr"] < 50 and epoch["train_accuracy"] is None for epoch in epochs)
    table = api.get(f"/jobs/{job_id}/metrics", headers={"Accept": "text/csv"}).text
    assert [row["val_ssim"] for row in csv.DictReader(io.StringIO(table))] == [str(each["val_ssim"]) for each in epochs]

    kinds = [event["kind"] for event in api.get(f"/jobs/{job_id}/events").json()["events"]]
    assert kinds.count("epoch") == 2
    assert kinds.count("enlargement") == 3
    answer = api.get(f"/jobs/{job_id}/checkpoint")
    assert answer.headers["etag"] == f'"{job["checkpoint"]["full"]["sha256"]}"'
    assert f'filename="{job_id[-6:]}_dsr.pth"' in answer.headers["content-disposition"]
    tensors = torch.load(io.BytesIO(answer.content), weights_only=True)
    assert tensors["residual_blocks.0.prelu.weight"].shape == (1,)
    assert job["checkpoint"]["backbone"] is None
    assert api.get(f"/jobs/{job_id}/checkpoint?format=backbone").json()["code"] == "no_backbone"
    assert api.get(f"/jobs/{job_id}/report").json()["code"] == "not_evaluated"
    assert api.post(f"/jobs/{job_id}/pin").status_code == 200

    (settings.weights_dir / "ours.pth").write_bytes(answer.content)
    assert load_dsr(settings.weights_dir / "ours.pth").layout.factors == (2,)
    write_dataset(settings.datasets_dir / "plain")
    fits = api.post("/jobs?dry_run=true", json={"dataset": "plain", "dsr": "ours.pth"})
    assert fits.status_code == 200, fits.text
    assert api.post("/jobs?dry_run=true", json={"dataset": "plain", "dsr": f"job:{job_id}"}).status_code == 200
    of_another_kind = api.post("/jobs?dry_run=true", json={"dataset": "plain", "edgeface": f"job:{job_id}"})
    assert of_another_kind.json()["code"] == "weights_not_of_kind"
    further = {"channels": None, "blocks": None, "factors": None, "dsr": f"job:{job_id}", "epochs": 1}
    answer = api.post("/dsr-trainings", json=TINY | further)
    work().join()
    assert succeeded(api, answer.json()["id"])["facts"]["enlargement"] == job["facts"]["enlargement"]


def test_a_paused_training_goes_on_and_ends_as_one_that_was_not(
    api: TestClient, settings: Settings, work: Callable[[], threading.Thread]
) -> None:
    whole = submitted(api)
    work().join()
    paused = submitted(api)
    worker = work()
    wait_until(lambda: api.get(f"/jobs/{paused}").json()["latest"] is not None)
    api.post(f"/jobs/{paused}/pause")
    worker.join()
    job = api.get(f"/jobs/{paused}").json()
    assert job["status"] == "paused"
    assert job["resume_point"]["stage"] == 0
    assert job["resume_point"]["steps_done"] >= 5
    api.post(f"/jobs/{paused}/resume")
    work().join()
    first, second = succeeded(api, whole), succeeded(api, paused)
    assert second["attempt"] == 2
    assert second["resume_receipt"]["from_attempt"] == 1
    assert first["checkpoint"]["full"]["sha256"] == second["checkpoint"]["full"]["sha256"]
    clock = {"seconds", "images_per_second"}
    shown = [
        [
            {name: epoch[name] for name in epoch.keys() - clock}
            for epoch in api.get(f"/jobs/{each}/metrics").json()["epochs"]
        ]
        for each in (whole, paused)
    ]
    assert shown[0] == shown[1]
    assert not list(settings.artifacts_dir.glob(f"{paused}/**/.reserved"))


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"dataset": "nowhere"}, "dataset_not_found", "train_dir"),
        ({"dataset": "faces", "edgeface": "other.pt"}, "weights_not_found", "edgeface"),
        ({"dataset": "faces", "dsr": "../dsr.pth"}, "path_outside_roots", "dsr"),
        ({"dataset": "faces", "dsr": "edgeface_xxs.pt"}, "weights_mismatch", None),
        ({"dataset": "faces", "stage2_epochs": 5}, "request_invalid", "stage2_epochs"),
        ({"dataset": "faces", "vlr_sizes": [200]}, "request_invalid", "vlr_sizes.0"),
        ({}, "request_invalid", "body"),
    ],
)
def test_what_cannot_work_is_refused_at_once(
    api: TestClient, fields: dict[str, object], code: str, field: str | None
) -> None:
    answer = api.post("/dsr-trainings", json=fields)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == code
    assert problem["hint"]
    assert field is None or field in [each["field"] for each in problem["errors"]]


def test_an_altered_copy_of_a_photo_ends_the_job_by_name(
    api: TestClient, settings: Settings, work: Callable[[], threading.Thread]
) -> None:
    faces = settings.datasets_dir / "faces"
    with Image.open(sorted((faces / "val_processed" / "hr_images").iterdir())[0]) as image:
        image.convert("RGB").save(faces / "train_processed" / "hr_images" / "s01_copy.jpg", quality=90)
    job_id = submitted(api)
    work().join()
    job = api.get(f"/jobs/{job_id}").json()
    assert (job["status"], job["error"]["code"]) == ("failed", "photo_copied")
    assert "s01_copy.jpg" in job["error"]["message"]


def test_people_that_cannot_be_compared_are_named(api: TestClient, settings: Settings) -> None:
    write_dataset(settings.datasets_dir / "alone", val_subjects=1)
    assert api.post("/dsr-trainings", json={"dataset": "alone"}).json()["code"] == "eval_not_comparable"
