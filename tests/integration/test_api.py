"""The API's public face, in one process: what is refused, what is answered, what is listed."""

import asyncio
import csv
import dataclasses
import io
import json
import shutil
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import col, update
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import app.routes.actions
import app.routes.submitting
from app.artifacts import Artifacts
from app.database import Database, database_now
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.config import FinetuneConfig
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.errors import ErrorReport
from app.finetune.events import EvaluationStarted, Progressed, StateSaved
from app.finetune.recipes import RECOMMENDED
from app.inputs.dataset_checks import CheckedInputs
from app.jobs import queries
from app.jobs.attempt_errors import LeaseLost
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.jobs.transitions import attempts, recording, rounds, submission
from app.jobs.transitions.fence import Claim
from app.main import create_app
from app.routes.dependencies import Service
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
    "val_genuine_similarity": 0.5,
    "val_impostor_similarity": 0.125,
    "val_d_prime": 2.5,
    "head_lr": 1e-3,
    "backbone_lr": None,
    "seconds": 1.5,
    "images_per_second": 64.0,
    "best": True,
}


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def database(api: TestClient) -> Database:
    return service(api).database


def service(api: TestClient) -> Service:
    return cast("FastAPI", api.app).state.service  # type: ignore[no-any-return]


def submit(api: TestClient, **fields: object) -> dict[str, Any]:
    answer = api.post("/jobs", json={"dataset": "faces", **fields})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


def run(database: Database) -> Claim:
    with database.writing() as session:
        job = queries.next_queued(session)
        assert job is not None
        claim = attempts.claim(session, job.id, "worker-1", 60.0)
        assert claim is not None
        attempts.begin_attempt(session, claim, next(iter(queries.resume_points(session, job.id)), None))
        recording.record_running(session, claim, EvaluationStarted("cpu"))
    return claim


def publish(database: Database, settings: Settings, claim: Claim, content: bytes, epoch: int = 1) -> Path:
    """A new best checkpoint, whose file's sha256 is the epoch's number again and again; the file of format `full`."""
    folder = f"{claim.job_id}/attempt-{claim.attempt}/best-epoch-{epoch:03}"
    files = []
    for kind, name in (("full", "edgeface_finetuned.pth"), ("backbone", "edgeface_backbone.pth")):
        path = settings.artifacts_dir / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        files.append(WrittenFile(Path(folder) / name, len(content), f"{epoch}{kind[0]}" * 32))
    full, backbone = files
    with database.writing() as session:
        checkpoint = Checkpoint(epoch=epoch, score=0.75, full=full, backbone=backbone)
        recording.record_checkpoint(session, claim, checkpoint)
    return settings.artifacts_dir / folder / "edgeface_finetuned.pth"


def save_state(database: Database, claim: Claim, epoch: int, step: int) -> None:
    with database.writing() as session:
        job = queries.get(session, claim.job_id)
        key = f"{claim.job_id}/attempt-{claim.attempt}/state-{epoch}-{step}.pt"
        file = WrittenFile(Path(key), 1000, "ef" * 32)
        saved = StateSaved(file, 2, epoch, step, 10 * epoch + step, 0.5, job.checkpoint)
        recording.record_state(session, claim, saved)


def end(database: Database, claim: Claim, status: JobStatus) -> None:
    error = ErrorReport(code="x", message="it broke", hint="mend it", blame="service")
    with database.writing() as session:
        attempts.finish(session, claim, status, error if status is JobStatus.FAILED else None)


def status_of(database: Database, job_id: str) -> JobStatus:
    with database.reading() as session:
        return JobStatus(queries.get(session, job_id).status)


def rings(settings: Settings) -> int:
    return len(list((settings.var_dir / "broker" / "messages").iterdir()))


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
    assert [warning["code"] for warning in job["warnings"]] == []


def test_a_resolved_config_can_be_submitted_again(api: TestClient) -> None:
    config = submit(api)["config"]
    assert api.post("/jobs", json=config).json()["config"] == config


def test_a_dry_run_resolves_and_queues_nothing(api: TestClient) -> None:
    answer = api.post("/jobs", params={"dry_run": True}, json={"dataset": "faces", "vlr_size": 16})
    assert answer.status_code == 200
    assert answer.json()["config"]["vlr_size"] == 16
    assert answer.json()["warnings"] == []
    assert api.get("/jobs").json() == {"jobs": [], "next_cursor": None}


def test_a_dry_run_that_estimates_is_accepted_and_listed_apart(api: TestClient) -> None:
    answer = api.post("/jobs", params={"dry_run": "estimate"}, json={"dataset": "faces"})
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert answer.headers["retry-after"] == "1"
    assert (job["kind"], job["status"], job["measured"]) == ("dry_run", "queued", None)
    assert api.get(answer.headers["location"]).json()["kind"] == "dry_run"
    assert api.get("/jobs").json()["jobs"] == []
    for name in ("dry_run", "measurement"):
        assert [each["id"] for each in api.get("/jobs", params={"kind": name}).json()["jobs"]] == [job["id"]]
    assert submit(api)["kind"] == "finetuning"


@pytest.mark.parametrize(
    ("method", "query", "fields", "message"),
    [
        ("POST", {"dry_run": "measure"}, {}, "dry_run=measure {}: use dry_run=estimate"),
        ("GET", {"kind": "measurement"}, {}, "kind=measurement {}: use kind=dry_run"),
        ("POST", {}, {"invented_people": 8}, "invented_people {}: use synthetic_identities"),
    ],
)
def test_a_former_name_works_and_is_announced(
    api: TestClient, method: str, query: dict[str, str], fields: dict[str, Any], message: str
) -> None:
    body = {"dataset": "faces", **fields} if method == "POST" else None
    answer = api.request(method, "/jobs", params=query, json=body)
    assert answer.is_success
    assert answer.headers["deprecation"] == "@1795996800"
    title = message.format("is deprecated and works until 0.4.0")
    assert answer.headers["link"] == f'</docs>; rel="deprecation"; type="text/html"; title="{title}"'
    assert (answer.status_code == 202) == ("dry_run" in query)


def test_an_answer_to_current_names_announces_nothing(api: TestClient) -> None:
    job = api.post("/jobs", params={"dry_run": "estimate"}, json={"dataset": "faces", "synthetic_identities": 8})
    for answer in (job, api.get("/jobs", params={"kind": "dry_run"}), api.get(job.headers["location"])):
        assert answer.is_success
        assert "deprecation" not in answer.headers
    assert api.get(job.headers["location"]).json()["estimate"] is None


def test_a_dry_run_has_no_checkpoint_and_names_its_result(api: TestClient) -> None:
    job_id = api.post("/jobs?dry_run=estimate", json={"dataset": "faces"}).json()["id"]
    for answer in (api.get(f"/jobs/{job_id}/checkpoint"), api.post(f"/jobs/{job_id}/pin")):
        assert answer.status_code == 409
        assert "is a dry run, and makes no checkpoint" in answer.json()["detail"]
        assert "`estimate`" in answer.json()["hint"]


def test_a_dry_run_of_an_invalid_config_is_refused_at_once(api: TestClient) -> None:
    answer = api.post("/jobs", params={"dry_run": "estimate"}, json={"dataset": "nobody"})
    assert refused(answer, 422, "dataset_not_found")["errors"][0]["field"] == "train_dir"


def test_a_dry_run_that_is_none_is_refused_by_name(api: TestClient) -> None:
    problem = refused(
        api.post("/jobs", params={"dry_run": "mesure"}, json={"dataset": "faces"}), 422, "request_invalid"
    )
    assert {error["field"] for error in problem["errors"]} == {"query.dry_run"}
    assert "estimate" in problem["detail"]


def test_a_key_of_a_dry_run_makes_no_training(api: TestClient) -> None:
    measured = send_with_key(api, "key", dry_run="estimate")
    again = send_with_key(api, "key", dry_run="estimate")
    assert (again.status_code, again.json()["id"]) == (200, measured.json()["id"])
    refused(send_with_key(api, "key"), 422, "idempotency_key_reused")


def send_with_key(api: TestClient, key: str, fields: dict[str, object] | None = None, **params: object) -> Any:
    body = {"dataset": "faces", **(fields or {})}
    headers = {b"Idempotency-Key": key.encode("latin-1")}
    return api.post("/jobs", params=cast("Any", params), headers=cast("Any", headers), json=body)


def test_the_same_request_with_the_same_key_makes_one_job(api: TestClient, settings: Settings) -> None:
    first = send_with_key(api, "monday's run")
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers
    shutil.rmtree(settings.datasets_dir / "faces")  # what was accepted was accepted
    again = send_with_key(api, "monday's run", {"seed": 42})  # spelled out, the same request
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert len(api.get("/jobs").json()["jobs"]) == 1


def test_another_request_with_the_same_key_is_refused(api: TestClient) -> None:
    first = send_with_key(api, "key").json()
    for other in (send_with_key(api, "key", {"seed": 43}), send_with_key(api, "key", priority=1)):
        assert first["id"] in refused(other, 422, "idempotency_key_reused")["detail"]
    assert len(api.get("/jobs").json()["jobs"]) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "\xfcber", "tab\there"])
def test_a_key_that_is_none_is_refused_by_name(api: TestClient, key: str) -> None:
    problem = refused(send_with_key(api, key), 422, "request_invalid")
    assert problem["errors"][0]["field"] == "header.idempotency-key"
    assert "printable ASCII" in problem["detail"]
    assert send_with_key(api, "x" * 255).status_code == 201


def test_a_dry_run_spends_no_key(api: TestClient) -> None:
    assert send_with_key(api, "key", {"seed": 1}, dry_run=True).json()["config"]["seed"] == 1
    assert send_with_key(api, "key").status_code == 201
    assert send_with_key(api, "key", {"seed": 1}, dry_run=True).json()["config"]["seed"] == 1


@pytest.mark.postgresql
def test_the_same_request_sent_at_once_makes_one_job(
    settings: Settings, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = 4
    everyone_has_looked = threading.Barrier(at_once, timeout=30)

    def check(*_: object) -> CheckedInputs:
        everyone_has_looked.wait()
        return CheckedInputs([])

    monkeypatch.setattr(app.routes.submitting, "check_inputs", check)
    elsewhere = settings.model_copy(update={"database_url": database_url})
    with TestClient(create_app(elsewhere)) as api, ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda _: send_with_key(api, "key"), range(at_once)))
        assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(api.get("/jobs").json()["jobs"]) == 1


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


def test_a_recipe_that_learns_from_hr_images_needs_each_of_them(api: TestClient, settings: Settings) -> None:
    body, hr_images = (
        {"dataset": "faces", "recipe": "recommended"},
        settings.datasets_dir / "faces/train_processed/hr_images",
    )
    shown = "datasets/faces/train_processed/hr_images"
    resolved = api.post("/jobs?dry_run=true", json=body).json()["config"]
    assert resolved.items() >= {**RECOMMENDED, "recipe": "recommended"}.items()
    first = sorted(hr_images.iterdir())[0]
    first.unlink()
    problem = refused(api.post("/jobs", json=body), 422, "train_hr_missing")
    assert problem["detail"].endswith(f" {shown}; 1 has none ({first.name})")
    shutil.rmtree(hr_images)
    problem = refused(api.post("/jobs", json=body), 422, "train_hr_missing")
    assert f" {shown}; none has one ({first.name}, " in problem["detail"]
    assert problem["blame"] == "data"
    assert '"recipe": "guide"' in problem["hint"]
    assert api.post("/jobs", json={"dataset": "faces"}).status_code == 201


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
    assert "1 of 3 val subjects is not in train (002)" in warnings["val_subjects_unknown"]
    assert "2 are" in warnings["val_subjects_unknown"]


def test_a_waiting_job_says_what_for(api: TestClient, database: Database) -> None:
    first, second, third = submit(api), submit(api), submit(api)
    assert second["queue_position"] == 2
    assert first["waiting_for"] == "a worker, but none has ever reported: start one with edgeface-finetune worker"
    with database.writing() as session:
        rounds.report_worker(session, "worker-1", "here")
    jobs = [api.get(f"/jobs/{job['id']}").json() for job in (first, second, third)]
    assert [job["waiting_for"] for job in jobs] == [
        "a worker to be free: this job is next",
        "the job before it in the queue",
        "the 2 jobs before it in the queue",
    ]


def test_a_job_that_lost_its_worker_says_when_it_is_tried_again(api: TestClient, database: Database) -> None:
    path = f"/jobs/{submit(api)['id']}"
    claim = run(database)
    lost = ErrorReport(code="worker_lost", message="lost", hint="look", blame="service")
    with database.writing() as session:
        rounds.report_worker(session, "worker-1", "here")
        attempts.lose_trainer(session, claim, lost, attempts.LossPolicy(max_losses=3, backoff_seconds=100.0))
    job = api.get(path).json()
    assert job["waiting_for"].startswith("its next try, in ")
    assert job["retry_at"] > job["started_at"]
    assert job["worker_losses"] == 1
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job["id"]).values(retry_at=database_now() - 1.0))
    assert api.get(path).json()["waiting_for"] == "a worker to be free: this job is next"


def test_a_job_of_a_kind_that_only_a_later_version_knows_says_so(api: TestClient, database: Database) -> None:
    job_id = submit(api)["id"]
    with database.writing() as session:
        session.execute(update(Job).where(col(Job.id) == job_id).values(kind="distillation"))
    problem = refused(api.get(f"/jobs/{job_id}"), 422, "config_invalid")
    assert "'distillation', which this version does not know" in problem["detail"]
    assert api.get("/jobs").json()["jobs"] == []


def test_a_job_that_cannot_start_yet_says_why(api: TestClient, database: Database) -> None:
    job = submit(api)
    with database.writing() as session:
        rounds.report_worker(session, "worker-1", "here")
        rounds.note_waiting(session, job["id"], "disk space: 3 MB free, 500 MB needed")
    assert api.get(f"/jobs/{job['id']}").json()["waiting_for"] == "disk space: 3 MB free, 500 MB needed"


def test_a_higher_priority_goes_first(api: TestClient, database: Database) -> None:
    usual = submit(api)
    urgent = api.post("/jobs", params={"priority": 10}, json={"dataset": "faces"}).json()
    assert (urgent["priority"], urgent["queue_position"]) == (10, 1)
    assert api.get(f"/jobs/{usual['id']}").json()["queue_position"] == 2
    assert run(database).job_id == urgent["id"]
    refused(api.post("/jobs", params={"priority": 101}, json={"dataset": "faces"}), 422, "request_invalid")


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
            recording.record_epoch(session, claim, EpochMetrics.model_validate(EPOCH | {"stage": stage, "epoch": 1}))
    epochs = api.get(path).json()["epochs"]
    assert [epoch["stage"] for epoch in epochs] == [1, 2]
    assert epochs[0]["val_auc"] == 0.75
    told = ("val_genuine_similarity", "val_impostor_similarity", "val_d_prime")
    assert [epochs[0][name] for name in told] == [0.5, 0.125, 2.5]
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
    assert [event["kind"] for event in page["events"]] == ["status", "status", "status", "prepared"]
    assert not page["terminal"]
    with database.writing() as session:
        attempts.finish(session, claim, JobStatus.SUCCEEDED)
    rest = api.get(path, params={"after": page["next_cursor"]}).json()
    assert [event["data"]["status"] for event in rest["events"]] == ["succeeded"]
    assert rest["terminal"]
    stream = api.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "3"})
    assert stream.headers["content-type"].startswith("text/event-stream")
    fields = [line.split(": ", 1) for line in stream.text.splitlines() if line]
    assert [value for name, value in fields if name == "id"] == ["4", "5"]
    assert [value for name, value in fields if name == "event"] == ["prepared", "status"]
    assert json.loads([value for name, value in fields if name == "data"][-1])["data"]["status"] == "succeeded"


def test_a_reader_whose_connection_breaks_is_forgotten(settings: Settings) -> None:
    application = create_app(settings)
    running: Service = application.state.service
    running.database.migrate()
    with running.database.writing() as session:
        job_id = submission.submit(session, FinetuneConfig(dataset="faces"), []).id

    async def read() -> None:
        begun = asyncio.Event()

        async def receive() -> Message:
            await begun.wait()
            assert list(running.feeds.watched) == [job_id]
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if b"event: progress" in message.get("body", b""):
                begun.set()

        await application(stream_request(f"/jobs/{job_id}/events"), receive, send)
        assert not running.feeds.watched

    asyncio.run(asyncio.wait_for(read(), 60.0))
    running.database.close()


def stream_request(path: str) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"accept", b"text/event-stream")],
        "server": ("testserver", 80),
        "client": ("testclient", 50000),
    }


def test_a_job_is_answered_byte_for_byte_as_after_a_change(
    api: TestClient, database: Database, settings: Settings
) -> None:
    path = f"/jobs/{submit(api)['id']}"
    claim = run(database)
    with database.writing() as session:
        recording.record_epoch(session, claim, EpochMetrics.model_validate(EPOCH | {"stage": 2, "epoch": 1}))
    publish(database, settings, claim, b"weights")
    save_state(database, claim, epoch=1, step=4)
    changed = api.post(f"{path}/pin")
    looked = [api.get(path) for _ in range(2)]
    assert [answer.content for answer in looked] == [changed.content] * 2
    assert looked[0].headers["content-type"] == changed.headers["content-type"]


def test_cancel_is_safe_to_repeat(api: TestClient, database: Database) -> None:
    job = submit(api)
    answers = [api.post(f"/jobs/{job['id']}/cancel").json()["status"] for _ in range(2)]
    assert answers == ["cancelled", "cancelled"]
    running_job = submit(api)
    run(database)
    answers = [api.post(f"/jobs/{running_job['id']}/cancel").json()["status"] for _ in range(2)]
    assert answers == ["cancelling", "cancelling"]


def test_a_forced_cancel_does_not_wait_for_the_worker(api: TestClient, database: Database) -> None:
    path = f"/jobs/{submit(api)['id']}"
    claim = run(database)
    assert api.post(f"{path}/cancel").json()["status"] == "cancelling"
    assert "force=true" in api.get(path).json()["waiting_for"]
    assert api.post(f"{path}/cancel", params={"force": True}).json()["status"] == "cancelled"
    with pytest.raises(LeaseLost):
        end(database, claim, JobStatus.SUCCEEDED)


def test_a_queued_job_pauses_at_once_and_is_resumed_by_the_bell(
    api: TestClient, database: Database, settings: Settings
) -> None:
    path = f"/jobs/{submit(api)['id']}"
    for _ in range(2):
        job = api.post(f"{path}/pause").json()
        assert (job["status"], job["resume_point"], job["queue_position"]) == ("paused", None, None)
    assert job["waiting_for"] == "a person to resume it"
    with database.reading() as session:
        assert queries.next_queued(session) is None
    rung = rings(settings)
    for _ in range(2):
        assert api.post(f"{path}/resume").json()["status"] == "queued"
    assert rings(settings) == rung + 2
    assert run(database).job_id == job["id"]


def test_the_answer_to_a_pause_says_what_survives(api: TestClient, database: Database) -> None:
    path = f"/jobs/{submit(api)['id']}"
    claim = run(database)

    def supervise() -> None:
        while status_of(database, claim.job_id) is not JobStatus.PAUSING:
            pass
        save_state(database, claim, epoch=7, step=13)
        with database.writing() as session:
            attempts.hand_back(session, claim, "paused by a person")

    with ThreadPoolExecutor(1) as pool:
        supervisor = pool.submit(supervise)
        job = api.post(f"{path}/pause").json()
        supervisor.result()
    assert job["status"] == "paused"
    survives = job["resume_point"]
    assert [survives[name] for name in ("attempt", "stage", "epoch", "step", "steps_done")] == [1, 2, 7, 13, 83]
    assert (survives["progress"], job["progress"]) == (0.5, 0.5)
    assert "state" not in survives


def test_a_pause_does_not_wait_for_ever(api: TestClient, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app.routes.actions, "PAUSE_ANSWER_SECONDS", 0.3)
    path = f"/jobs/{submit(api)['id']}"
    run(database)
    job = api.post(f"{path}/pause").json()
    assert (job["status"], job["waiting_for"]) == ("pausing", "its worker to save the training state")
    assert "few seconds" in refused(api.post(f"{path}/resume"), 409, "job_not_paused")["hint"]


def test_what_a_state_does_not_allow_is_refused(api: TestClient, database: Database) -> None:
    path = f"/jobs/{submit(api)['id']}"
    claim = run(database)
    refused(api.post(f"{path}/retry"), 409, "job_not_retryable")
    end(database, claim, JobStatus.FAILED)
    assert "retry" in refused(api.post(f"{path}/resume"), 409, "job_not_paused")["hint"]
    refused(api.post(f"{path}/pause"), 409, "job_not_pausable")
    problem = refused(api.post(f"{path}/retry", params={"from": "epoch 3"}), 422, "request_invalid")
    assert "query.from" in problem["detail"]
    assert "JSON" not in problem["hint"]


@pytest.mark.parametrize(("start", "epochs", "progress"), [("state", [1], 0.5), ("start", [], 0.0)])
def test_a_failed_job_goes_on_from_its_state_or_from_the_start(
    api: TestClient, database: Database, settings: Settings, start: str, epochs: list[int], progress: float
) -> None:
    path = f"/jobs/{submit(api)['id']}"
    claim = run(database)
    with database.writing() as session:
        recording.record_epoch(session, claim, EpochMetrics.model_validate(EPOCH | {"stage": 2, "epoch": 1}))
    save_state(database, claim, epoch=1, step=4)
    with database.writing() as session:
        recording.record_progress(
            session, claim, Progressed(progress=0.7, eta_seconds=1.0, stage=2, epoch=2, step=9, steps_done=19)
        )
    assert api.get(path).json()["step"] == 9
    end(database, claim, JobStatus.FAILED)
    rung = rings(settings)
    job = api.post(f"{path}/retry", params={"from": start}).json()
    assert (job["status"], job["error"], job["finished_at"]) == ("queued", None, None)
    assert rings(settings) == rung + 1
    run(database)
    job = api.get(path).json()
    assert job["progress"] == progress
    assert [epoch["epoch"] for epoch in api.get(f"{path}/metrics").json()["epochs"]] == epochs
    told = api.get(f"{path}/attempts").json()["attempts"]
    assert [(each["number"], each["worker"], each["outcome"]) for each in told] == [
        (1, "worker-1", "failed"),
        (2, "worker-1", None),
    ]
    assert (told[0]["reason"], told[0]["receipt"], told[1]["ended_at"]) == ("it broke", None, None)
    receipt = told[1]["receipt"]
    assert receipt == job["resume_receipt"]
    assert (receipt["from_attempt"], receipt["steps_redone"]) == ((1, 5) if start == "state" else (None, 19))


def test_the_event_stream_goes_on_over_a_failure_that_is_retried(api: TestClient, database: Database) -> None:
    path = f"/jobs/{submit(api)['id']}"
    end(database, run(database), JobStatus.FAILED)
    seen = api.get(f"{path}/events").json()
    assert seen["terminal"]
    api.post(f"{path}/retry")
    rest = api.get(f"{path}/events", params={"after": seen["next_cursor"]}).json()
    assert not rest["terminal"]
    assert [event["data"]["status"] for event in rest["events"]] == ["queued"]


def test_the_best_checkpoint_so_far_downloads_by_range_and_etag(
    api: TestClient, database: Database, settings: Settings
) -> None:
    job_id = submit(api)["id"]
    path = f"/jobs/{job_id}/checkpoint"
    claim = run(database)
    problem = refused(api.get(path), 409, "checkpoint_not_ready")
    assert "first validated epoch" in problem["hint"]
    content = struct.pack("<1000I", *range(1000))
    publish(database, settings, claim, content)
    whole = api.get(path)
    assert whole.content == content
    assert whole.headers["content-disposition"] == f'attachment; filename="{job_id[-6:]}_edgeface_finetuned.pth"'
    api.patch(f"/jobs/{job_id}", json={"name": "../ORL 12px: lr=1e-4"})
    named = api.get(path).headers["content-disposition"]
    assert named == f'attachment; filename="ORL-12px-lr-1e-4-{job_id[-6:]}_edgeface_finetuned.pth"'
    api.patch(f"/jobs/{job_id}", json={"name": "Größe"})
    assert f"filename*=utf-8''Gr%C3%B6%C3%9Fe-{job_id[-6:]}_" in api.get(path).headers["content-disposition"]
    etag = whole.headers["etag"]
    assert etag == f'"{"1f" * 32}"'
    part = api.get(path, headers={"Range": "bytes=100-199", "If-Range": etag})
    assert (part.status_code, part.content) == (206, content[100:200])
    changed = api.get(path, headers={"Range": "bytes=100-199", "If-Range": '"an older one"'})
    assert (changed.status_code, changed.content) == (200, content)
    assert api.get(path, headers={"If-None-Match": etag}).status_code == 304
    assert api.get(path, params={"format": "backbone"}).headers["etag"] == f'"{"1b" * 32}"'
    view = api.get(path.removesuffix("/checkpoint")).json()["checkpoint"]
    assert view["full"] == {"url": path, "size": len(content), "sha256": "1f" * 32}


def test_a_checkpoint_whose_file_is_gone_says_so(api: TestClient, database: Database, settings: Settings) -> None:
    path = f"/jobs/{submit(api)['id']}/checkpoint"
    publish(database, settings, run(database), b"weights").unlink()
    assert refused(api.get(path), 410, "file_missing")["blame"] == "service"


class ReplacedWhileLooking(Artifacts):
    """A better checkpoint comes, and the old file goes, after the row was read and before the file is opened."""

    def __init__(self, root: Path, replace: Callable[[], None]) -> None:
        super().__init__(root)
        self._replace: Callable[[], None] | None = replace

    def path_of(self, key: str) -> Path:
        replace, self._replace = self._replace, None
        path = super().path_of(key)
        if replace is not None:
            replace()
        return path


def test_a_checkpoint_that_is_replaced_while_it_is_looked_up_is_the_new_one(
    api: TestClient, database: Database, settings: Settings
) -> None:
    path = f"/jobs/{submit(api)['id']}/checkpoint"
    claim = run(database)
    old = publish(database, settings, claim, b"old" * 1000)

    def replace() -> None:
        publish(database, settings, claim, b"new" * 2000, epoch=2)
        old.unlink()

    artifacts = ReplacedWhileLooking(settings.artifacts_dir, replace)
    cast("FastAPI", api.app).state.service = dataclasses.replace(service(api), artifacts=artifacts)
    answer = api.get(path)
    assert answer.content == b"new" * 2000
    assert answer.headers["etag"] == f'"{"2f" * 32}"'


def interfering(application: ASGIApp, interfere: Callable[[], None]) -> ASGIApp:
    """Calls `interfere` once the answer's head has been sent and before its body is."""

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_and_interfere(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                interfere()

        await application(scope, receive, send_and_interfere)

    return call


@pytest.mark.parametrize("part", [None, (1000, 1999)], ids=["whole", "range"])
def test_a_checkpoint_whose_file_is_deleted_while_it_is_sent_arrives_whole(
    api: TestClient, database: Database, settings: Settings, part: tuple[int, int] | None
) -> None:
    content = struct.pack("<100000I", *range(100_000))
    path = f"/jobs/{submit(api)['id']}/checkpoint"
    file = publish(database, settings, run(database), content)
    headers = {} if part is None else {"Range": f"bytes={part[0]}-{part[1]}"}
    answer = TestClient(interfering(api.app, file.unlink)).get(path, headers=headers)
    assert not file.exists()
    assert answer.content == (content if part is None else content[part[0] : part[1] + 1])


def test_a_pinned_checkpoint_stays_when_a_better_one_comes(
    api: TestClient, database: Database, settings: Settings
) -> None:
    path = f"/jobs/{submit(api)['id']}"
    refused(api.post(f"{path}/pin"), 409, "nothing_to_pin")
    claim = run(database)
    publish(database, settings, claim, b"first", epoch=1)
    for _ in range(2):
        job = api.post(f"{path}/pin").json()
    assert kinds(job) == [(1, "backbone", "best", True), (1, "full", "best", True)]
    publish(database, settings, claim, b"second one", epoch=2)
    save_state(database, claim, epoch=1, step=3)
    save_state(database, claim, epoch=2, step=0)
    job = api.get(path).json()
    assert kinds(job) == [
        (1, "backbone", "pinned", True),
        (1, "full", "pinned", True),
        (1, "state", "older", False),
        (2, "backbone", "best", False),
        (2, "full", "best", False),
        (2, "state", "latest", False),
    ]
    assert job["files_size"] == 2 * len(b"first") + 2 * len(b"second one") + 2 * 1000
    contents = sorted(api.get(file["url"]).content for file in job["files"] if file["url"] is not None)
    assert contents == [b"first", b"first", b"second one", b"second one"]
    job = api.delete(f"{path}/pin").json()
    assert kinds(job)[:2] == [(1, "backbone", "older", False), (1, "full", "older", False)]


def kinds(job: dict[str, Any]) -> list[tuple[Any, ...]]:
    return sorted((file["epoch"], file["content"], file["kind"], file["pinned"]) for file in job["files"])


def test_the_checkpoint_of_an_epoch_is_had_where_it_is_kept(
    api: TestClient, database: Database, settings: Settings
) -> None:
    path = f"/jobs/{submit(api)['id']}"
    claim = run(database)
    refused(api.get(f"{path}/checkpoint", params={"epoch": 1}), 404, "checkpoint_not_kept")
    for epoch in (1, 3):
        publish(database, settings, claim, b"epoch %d" % epoch, epoch)
    answer = api.get(f"{path}/checkpoint", params={"epoch": 1, "format": "backbone"})
    assert (answer.content, answer.headers["etag"]) == (b"epoch 1", f'"{"1b" * 32}"')
    assert api.get(f"{path}/checkpoint", params={"epoch": 3}).content == b"epoch 3"
    problem = refused(api.get(f"{path}/checkpoint", params={"epoch": 2}), 404, "checkpoint_not_kept")
    assert "epoch 1, 3" in problem["detail"]
    api.post(f"{path}/pin")
    end(database, claim, JobStatus.FAILED)
    api.post(f"{path}/retry", params={"from": "start"})
    publish(database, settings, run(database), b"another epoch 3", 3)
    assert api.get(f"{path}/checkpoint", params={"epoch": 3}).content == b"another epoch 3"
    assert api.get(f"{path}/checkpoint", params={"epoch": 3, "attempt": 1}).content == b"epoch 3"


@pytest.mark.parametrize("path", ["", "/metrics", "/events", "/attempts", "/checkpoint", "/checkpoint?epoch=1"])
def test_an_unknown_job_is_a_404_with_a_hint(api: TestClient, path: str) -> None:
    refused(api.get(f"/jobs/nobody{path}"), 404, "job_not_found")


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry", "pin"])
def test_what_is_done_to_an_unknown_job_is_a_404_with_a_hint(api: TestClient, action: str) -> None:
    refused(api.post(f"/jobs/nobody/{action}"), 404, "job_not_found")


def test_unknown_paths_and_methods_are_problems_too(api: TestClient) -> None:
    refused(api.get("/nowhere"), 404, "not_found")
    refused(api.put("/jobs"), 405, "method_not_allowed")


def test_health_says_what_a_job_would_lack(api: TestClient, database: Database) -> None:
    assert api.get("/health/live").json() == {"live": True}
    answer = api.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() | {"database": True, "broker": True, "worker": False, "ready": False} == answer.json()
    with database.writing() as session:
        rounds.report_worker(session, "worker-1", "here")
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
