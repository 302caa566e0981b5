"""The API's public face, in one process: what is refused, what is answered, what is listed."""

import csv
import io
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.database import Database
from app.finetune.config import FinetuneConfig
from app.jobs import store
from app.jobs.states import JobStatus
from app.jobs.store import Claim
from app.jobs.tables import Job
from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_dataset, write_edgeface

GUIDE_DEFAULTS = {
    "stage1_epochs": 5,
    "stage2_epochs": 20,
    "batch_size": 32,
    "num_workers": 8,
    "head_lr": 1e-3,
    "backbone_lr": 5e-6,
    "head_lr_stage2": 5e-5,
    "arcface_scale": 64.0,
    "arcface_margin": 0.5,
    "weight_decay": 5e-5,
    "label_smoothing": 0.1,
    "early_stop_patience": 8,
    "val_interval": 1,
    "seed": 42,
    "edgeface": "edgeface_xxs.pt",
}
EPOCH: dict[str, Any] = {
    "epochs": 1,
    "train_loss": 20.5,
    "train_accuracy": 0.25,
    "val_loss": None,
    "val_accuracy": None,
    "val_auc": 0.75,
    "head_lr": 1e-3,
    "backbone_lr": None,
    "seconds": 1.5,
    "images_per_second": 64.0,
    "best": True,
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(var_dir=tmp_path / "var")
    settings.make_directories()
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def database(api: TestClient) -> Database:
    return cast("FastAPI", api.app).state.service.database  # type: ignore[no-any-return]


def submit(api: TestClient, **fields: object) -> dict[str, Any]:
    answer = api.post("/jobs", json={"dataset": "faces", **fields})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


def run(database: Database) -> Claim:
    with database.writing() as session:
        claim = store.claim_next(session, "worker-1", 60.0)
        assert claim is not None
        store.record_running(session, claim, {"device": "cpu"})
    return claim


def publish(database: Database, settings: Settings, claim: Claim, content: bytes) -> None:
    key = f"{claim.job_id}/attempt-1/edgeface_finetuned.pth"
    path = settings.artifacts_dir / key
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    file = {"key": key, "size": len(content), "sha256": "ab" * 32}
    checkpoint = {"epoch": 1, "score": 0.75, "full": file, "backbone": file | {"sha256": "cd" * 32}}
    with database.writing() as session:
        store.record_event(session, claim, "checkpoint", checkpoint, checkpoint=checkpoint)


def refused(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["hint"]
    return problem


def test_a_dataset_alone_is_a_valid_job_with_the_guides_defaults(api: TestClient) -> None:
    answer = api.post("/jobs", json={"dataset": "faces"})
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert api.get(answer.headers["location"]).json() == job
    assert GUIDE_DEFAULTS.items() <= job["config"].items()
    assert job["config"]["train_dir"] == "faces/train_processed"
    assert (job["status"], job["terminal"], job["queue_position"], job["progress"]) == ("queued", False, 1, 0.0)
    assert [warning["code"] for warning in job["warnings"]] == ["bicubic_enlargement"]


def test_a_resolved_config_can_be_submitted_again(api: TestClient) -> None:
    config = submit(api)["config"]
    assert api.post("/jobs", json=config).json()["config"] == config


def test_a_dry_run_resolves_and_queues_nothing(api: TestClient) -> None:
    answer = api.post("/jobs", params={"dry_run": True}, json={"dataset": "faces", "vlr_size": 16})
    assert answer.status_code == 200
    assert answer.json()["config"]["vlr_size"] == 16
    assert answer.json()["warnings"]
    assert api.get("/jobs").json() == {"jobs": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ('{"dataset": "faces", "epochs": 3}', "epochs"),
        ('{"dataset": "faces", "head_lr": NaN}', "head_lr"),
        ('{"dataset": "faces", "head_lr": Infinity}', "head_lr"),
        ('{"dataset": "faces", "backbone_lr": 0}', "backbone_lr"),
        ('{"dataset": "faces", "stage2_epochs": "many"}', "stage2_epochs"),
        ('{"dataset": "faces", "device": "tpu"}', "device"),
        ('{"dataset": "faces", "label_smoothing": 1.0}', "label_smoothing"),
        ('{"train_dir": "faces/train_processed"}', "val_dir missing"),
        ("{}", "name a dataset"),
        ("[]", "body"),
        ('{"dataset": ', "body"),
    ],
)
def test_a_config_that_is_out_of_range_is_refused_by_field(api: TestClient, body: str, field: str) -> None:
    answer = api.post("/jobs", content=body, headers={"Content-Type": "application/json"})
    problem = refused(answer, 422, "request_invalid")
    assert problem["blame"] == "request"
    assert any(field in f"{error['field']}: {error['message']}" for error in problem["errors"]), problem


def quantized(path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    tensor = torch.quantize_per_tensor(torch.ones(4, 4), 0.1, 0, torch.qint8)
    torch.save({"model.head.fc.weight": tensor, **model.state_dict()}, path)


def lacking_keys(path: Path) -> None:
    state = torch.load(path, weights_only=True)
    torch.save({key: value for key, value in state.items() if "head" not in key}, path)


def pickled(path: Path) -> None:
    torch.save({"config": FinetuneConfig(dataset="faces"), "weight": torch.zeros(1)}, path)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda path: path.unlink(), "weights_not_found"),
        (lambda path: path.write_bytes(b"not weights"), "weights_unreadable"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "weights_unreadable"),
        (quantized, "weights_quantized"),
        (lacking_keys, "weights_mismatch"),
        (pickled, "weights_unsafe"),
        (lambda path: write_edgeface(path, "edgenext_small"), "weights_mismatch"),
        (lambda path: torch.save(torch.nn.Linear(3, 3).state_dict(), path), "weights_mismatch"),
    ],
    ids=["missing", "text", "cut short", "int8", "keys missing", "pickled class", "unknown variant", "other network"],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_weights_that_do_not_fit_are_refused_before_queueing(
    api: TestClient, settings: Settings, spoil: Callable[[Path], object], code: str
) -> None:
    spoil(settings.weights_dir / "edgeface_xxs.pt")
    problem = refused(api.post("/jobs", json={"dataset": "faces"}), 422, code)
    assert "edgeface_xxs.pt" in problem["detail"]
    assert problem["blame"] == "request"


def test_a_dsr_that_does_not_fit_is_refused_naming_the_keys(api: TestClient, settings: Settings) -> None:
    torch.save({"conv_in.weight": torch.zeros(8, 3, 3, 3)}, settings.weights_dir / "dsr.pth")
    problem = refused(api.post("/jobs", json={"dataset": "faces", "dsr": "dsr.pth"}), 422, "weights_mismatch")
    assert "conv_out.weight" in problem["detail"]


def truncated(train: Path) -> None:
    image = sorted((train / "vlr_images").iterdir())[0]
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])


def one_subject(train: Path) -> None:
    for image in (train / "vlr_images").iterdir():
        if not image.name.startswith("000"):
            image.unlink()


def emptied(train: Path) -> None:
    for image in (train / "vlr_images").iterdir():
        image.unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "named"),
    [
        (truncated, "image_unreadable", "000_00.png"),
        (emptied, "dataset_folder_empty", "train_processed/vlr_images"),
        (lambda train: (train / "vlr_images").rename(train / "lr"), "dataset_folder_missing", "vlr_images"),
        (one_subject, "too_few_subjects", "000"),
        (lambda train: train.rename(train.with_name("gone")), "dataset_not_found", "train_dir"),
    ],
)
def test_a_dataset_that_cannot_train_is_refused_naming_what_is_wrong(
    api: TestClient, settings: Settings, spoil: Callable[[Path], object], code: str, named: str
) -> None:
    spoil(settings.datasets_dir / "faces" / "train_processed")
    problem = refused(api.post("/jobs", json={"dataset": "faces"}), 422, code)
    assert named in problem["detail"]


@pytest.mark.parametrize("name", ["../secret", "/etc", "faces/../../..", "link"])
@pytest.mark.parametrize("field", ["train_dir", "edgeface", "dsr"])
def test_no_name_leads_out_of_the_roots(
    api: TestClient, settings: Settings, tmp_path: Path, name: str, field: str
) -> None:
    for root in (settings.datasets_dir, settings.weights_dir):
        (root / "link").symlink_to(tmp_path)
    problem = refused(api.post("/jobs", json={"dataset": "faces", field: name}), 422, "path_outside_roots")
    assert problem["errors"][0]["field"] == field


def test_unknown_val_subjects_are_told_and_change_how_the_best_is_chosen(api: TestClient, settings: Settings) -> None:
    write_dataset(settings.datasets_dir / "open", train_subjects=2, val_subjects=3)
    warnings = {warning["code"]: warning["message"] for warning in submit(api, dataset="open")["warnings"]}
    assert "1 of 3 val subjects are not in train (002)" in warnings["val_subjects_unknown"]
    assert "verification AUC" in warnings["val_subjects_unknown"]


def test_a_waiting_job_says_what_for(api: TestClient, database: Database) -> None:
    first, second = submit(api), submit(api)
    assert second["queue_position"] == 2
    assert first["waiting_for"] == "no worker has ever reported: start one with edgeface-finetune worker"
    with database.writing() as session:
        store.report_worker(session, "worker-1", "here")
    jobs = [api.get(f"/jobs/{job['id']}").json() for job in (first, second)]
    assert [job["waiting_for"] for job in jobs] == [
        "a worker to be free: this job is next",
        "the job that was submitted before it",
    ]


def test_jobs_are_listed_newest_first_by_page_and_status(api: TestClient, database: Database) -> None:
    ids = [submit(api)["id"] for _ in range(5)]
    run(database)
    first = api.get("/jobs", params={"limit": 3}).json()
    second = api.get("/jobs", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert second["next_cursor"] is None
    by_status = api.get("/jobs", params={"status": ["running", "failed"]}).json()["jobs"]
    assert [job["id"] for job in by_status] == ids[:1]
    refused(api.get("/jobs", params={"cursor": "yesterday"}), 422, "cursor_invalid")
    refused(api.get("/jobs", params={"status": "asleep"}), 422, "request_invalid")


def test_metrics_come_as_json_and_as_csv(api: TestClient, database: Database) -> None:
    path = f"/jobs/{submit(api)['id']}/metrics"
    claim = run(database)
    with database.writing() as session:
        for stage in (1, 2):
            store.record_epoch(session, claim, EPOCH | {"stage": stage, "epoch": 1})
    epochs = api.get(path).json()["epochs"]
    assert [epoch["stage"] for epoch in epochs] == [1, 2]
    assert epochs[0]["val_auc"] == 0.75
    answer = api.get(path, headers={"Accept": "text/csv"})
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["stage"], row["train_loss"], row["val_accuracy"]) for row in rows] == [
        ("1", "20.5", ""),
        ("2", "20.5", ""),
    ]
    job = api.get(path.removesuffix("/metrics")).json()
    assert job["latest"] == job["best"] == epochs[1]


def test_events_are_a_page_with_a_cursor_or_a_stream_that_goes_on_where_it_broke(
    api: TestClient, database: Database
) -> None:
    path = f"/jobs/{submit(api)['id']}/events"
    claim = run(database)
    page = api.get(path).json()
    assert [event["kind"] for event in page["events"]] == ["status", "warning", "status", "status", "prepared"]
    assert not page["terminal"]
    with database.writing() as session:
        store.finish(session, claim, JobStatus.SUCCEEDED)
    rest = api.get(path, params={"after": page["next_cursor"]}).json()
    assert [event["data"]["status"] for event in rest["events"]] == ["succeeded"]
    assert rest["terminal"]
    stream = api.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "4"})
    assert stream.headers["content-type"].startswith("text/event-stream")
    fields = [line.split(": ", 1) for line in stream.text.splitlines() if line]
    assert [value for name, value in fields if name == "id"] == ["5", "6"]
    assert [value for name, value in fields if name == "event"] == ["prepared", "status"]
    assert json.loads([value for name, value in fields if name == "data"][-1])["data"]["status"] == "succeeded"


def test_cancel_is_safe_to_repeat(api: TestClient, database: Database) -> None:
    job = submit(api)
    answers = [api.post(f"/jobs/{job['id']}/cancel").json()["status"] for _ in range(2)]
    assert answers == ["cancelled", "cancelled"]
    running_job = submit(api)
    run(database)
    answers = [api.post(f"/jobs/{running_job['id']}/cancel").json()["status"] for _ in range(2)]
    assert answers == ["cancelling", "cancelling"]


def test_the_best_checkpoint_so_far_downloads_by_range_and_etag(
    api: TestClient, database: Database, settings: Settings
) -> None:
    path = f"/jobs/{submit(api)['id']}/checkpoint"
    claim = run(database)
    problem = refused(api.get(path), 409, "checkpoint_not_ready")
    assert "first validated epoch" in problem["hint"]
    content = struct.pack("<1000I", *range(1000))
    publish(database, settings, claim, content)
    whole = api.get(path)
    assert whole.content == content
    assert whole.headers["content-disposition"] == 'attachment; filename="edgeface_finetuned.pth"'
    etag = whole.headers["etag"]
    assert etag == f'"{"ab" * 32}"'
    part = api.get(path, headers={"Range": "bytes=100-199", "If-Range": etag})
    assert (part.status_code, part.content) == (206, content[100:200])
    changed = api.get(path, headers={"Range": "bytes=100-199", "If-Range": '"an older one"'})
    assert (changed.status_code, changed.content) == (200, content)
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert api.get(path, params={"format": "backbone"}).headers["etag"] == f'"{"cd" * 32}"'
    view = api.get(path.removesuffix("/checkpoint")).json()["checkpoint"]
    assert view["full"] == {"url": path, "size": len(content), "sha256": "ab" * 32}


def test_a_checkpoint_whose_file_is_gone_says_so(api: TestClient, database: Database, settings: Settings) -> None:
    path = f"/jobs/{submit(api)['id']}/checkpoint"
    claim = run(database)
    publish(database, settings, claim, b"weights")
    (settings.artifacts_dir / claim.job_id / "attempt-1" / "edgeface_finetuned.pth").unlink()
    assert refused(api.get(path), 410, "checkpoint_file_missing")["blame"] == "service"


@pytest.mark.parametrize("path", ["", "/metrics", "/events", "/checkpoint"])
def test_an_unknown_job_is_a_404_with_a_hint(api: TestClient, path: str) -> None:
    refused(api.get(f"/jobs/nobody{path}"), 404, "job_not_found")


def test_unknown_paths_and_methods_are_problems_too(api: TestClient) -> None:
    refused(api.get("/nowhere"), 404, "not_found")
    refused(api.put("/jobs"), 405, "method_not_allowed")


def test_health_says_what_a_job_would_lack(api: TestClient, database: Database) -> None:
    assert api.get("/health/live").json() == {"live": True}
    answer = api.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() | {"database": True, "broker": True, "worker": False, "ready": False} == answer.json()
    with database.writing() as session:
        store.report_worker(session, "worker-1", "here")
    assert api.get("/health/ready").status_code == 200


def test_datasets_and_weights_are_listed(api: TestClient) -> None:
    assert api.get("/datasets").json()["names"] == ["faces"]
    assert api.get("/weights").json()["names"] == ["edgeface_xxs.pt"]


def test_the_database_going_away_is_a_503_with_a_hint(api: TestClient, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql(f"ALTER TABLE {Job.__tablename__} RENAME TO moved")
    refused(api.get("/jobs"), 503, "database_unavailable")


def test_every_path_is_described(api: TestClient) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            assert operation.get("description"), f"{method} {path} has no description"
    properties = api.get("/openapi.json").json()["components"]["schemas"]["FinetuneConfig"]["properties"]
    assert all(field.get("description") for field in properties.values())
