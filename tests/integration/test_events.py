"""The types of events: in the rows, in the API and in its description."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.api_models.events import EVENT, KNOWN_EVENTS, EventView, OtherEvent, StatusChanged, StatusEvent, WaitingNoted
from app.api_models.job_status import JobStatus
from app.database import Database
from app.finetune.checkpoint import Checkpoint, WrittenFile
from app.finetune.event_data import EventData, as_json
from app.finetune.events import (
    BatchSplit,
    EnlargementMeasured,
    EvaluationStarted,
    PhaseStarted,
    Prepared,
    Recognition,
    RecognitionMeasured,
    RolledBack,
    StageStarted,
    StepChosen,
    StepsSkipped,
    StoppedEarly,
)
from app.finetune.job_warning import JobWarning
from app.jobs.tables import JobEvent
from app.jobs.transitions import fence
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import metrics_of, submit
from tests.migrations.rows import FOLDER, read_rows

KINDS = {str(get_args(event.model_fields["kind"].annotation)[0]): event for event in KNOWN_EVENTS}
RECOGNITION = Recognition(0.9, 0.8, 0.7, None, 100, 1000)
FILE = WrittenFile(Path("job/attempt-1/dsr.pth"), 10, "ab" * 32)
DATA: list[EventData] = [
    StatusChanged(status=JobStatus.QUEUED, previous=None),
    JobWarning(code="a", message="b"),
    WaitingNoted(reason="disk space"),
    Prepared(10, 5, 2, "last_epoch", "edgeface_xxs", "bicubic", "antialiased bicubic", "cpu", "float32", 0.1),
    EvaluationStarted("cpu"),
    PhaseStarted("teacher_targets"),
    StageStarted(2, 20),
    StageStarted(2, 20, "distillation", 792),
    metrics_of(1, 1),
    Checkpoint(epoch=1, score=0.5, full=FILE, backbone=FILE),
    Checkpoint(epoch=1, score=0.5, full=FILE, stage=0, selection="last_epoch"),
    RecognitionMeasured("before", RECOGNITION),
    EnlargementMeasured("dsr", 24.0, 0.6, 0.4, RECOGNITION),
    BatchSplit(32, 16, 2, 1, 0),
    RolledBack(0.1, 2, 1, 0),
    RolledBack(1.0, 2, 1, 0, precision="float32"),
    StepsSkipped(2, 3, skipped=2, steps=266, loss_scale=64.0),
    StepChosen(2, "graph", "a replay equals an eager step"),
    StoppedEarly(9, 1),
]


@pytest.fixture
def api(tmp_path: Path, database: Database) -> Iterator[TestClient]:
    settings = Settings(var_dir=tmp_path / "var", database_url=database.engine.url.render_as_string(False))
    with TestClient(create_app(settings)) as client:
        yield client


def append(session: Session, job_id: str, number: int, kind: str, data: dict[str, Any]) -> None:
    """An event of another version."""
    session.add(JobEvent(job_id=job_id, number=number, attempt=0, kind=kind, data=data, created_at=1e9))


def events_of(api: TestClient, job_id: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = api.get(f"/jobs/{job_id}/events").json()["events"]
    return events


@pytest.mark.parametrize("revision", sorted(path.stem for path in FOLDER.glob("*.json")))
def test_every_stored_event_of_an_older_version_has_a_type_and_is_sent_with_its_keys(revision: str) -> None:
    for row in read_rows(revision)["jobevent"]:
        event = EVENT.validate_python(
            {name: row[name] for name in ("number", "kind", "attempt", "data")} | {"at": row["created_at"]}
        )
        assert type(event) is KINDS[row["kind"]]
        sent = json.loads(event.to_json())["data"]
        assert sent.keys() - {"predicted_after"} == row["data"].keys() - {"predicted_after"}
        assert {name: sent[name] for name in row["data"]} | {"predicted": None} == row["data"] | {"predicted": None}


@pytest.mark.parametrize("data", DATA, ids=lambda data: type(data).__name__)
def test_an_event_is_stored_sent_and_read_with_the_same_data(
    api: TestClient, database: Database, data: EventData
) -> None:
    job_id = submit(database)
    with database.writing() as session:
        fence.append_event(session, job_id, data)
    sent = events_of(api, job_id)[-1]
    assert sent["data"] == as_json(data)
    read = EVENT.validate_python(sent)
    assert type(read) is KINDS[sent["kind"]]
    assert as_json(read.data) == as_json(data)
    assert isinstance(data, type(read.data))


@pytest.mark.parametrize(
    ("kind", "data"),
    [("invented_later", {"a": [1]}), ("epoch", {"stage": 7, "loss": 0.5}), ("status", {"status": "dreaming"})],
)
def test_events_of_another_version_are_sent_as_they_are(
    api: TestClient, database: Database, kind: str, data: dict[str, Any]
) -> None:
    job_id = submit(database)
    with database.writing() as session:
        append(session, job_id, 2, kind, data)
    sent = events_of(api, job_id)[-1]
    assert (sent["number"], sent["kind"], sent["data"]) == (2, kind, data)
    assert isinstance(EVENT.validate_python(sent), OtherEvent)


def test_the_description_of_the_api_has_a_schema_for_each_kind(api: TestClient) -> None:
    schemas: dict[str, Any] = api.get("/openapi.json").json()["components"]["schemas"]
    known, other = schemas["EventPage"]["properties"]["events"]["items"]["anyOf"]
    assert known["discriminator"]["propertyName"] == "kind"
    assert known["discriminator"]["mapping"].keys() == KINDS.keys()
    assert other == {"$ref": "#/components/schemas/OtherEvent"}
    for name in known["discriminator"]["mapping"].values():
        data = schemas[name.rpartition("/")[2]]["properties"]["data"]
        for reference in (one["$ref"] for one in data.get("anyOf", [data])):
            assert schemas[reference.rpartition("/")[2]]["properties"]


def test_data_can_still_be_read_like_a_dict() -> None:
    event: EventView = StatusEvent(
        number=1, kind="status", attempt=0, at=0, data=StatusChanged(status=JobStatus.QUEUED, previous=None)
    )
    with pytest.warns(DeprecationWarning, match="data.status"):
        assert event.data["status"] == "queued"
    with pytest.warns(DeprecationWarning, match="data.worker"):
        assert event.data.get("worker") is None
    with pytest.warns(DeprecationWarning), pytest.raises(KeyError):
        Checkpoint(epoch=1, score=0.5, full=FILE)["backbone"]
