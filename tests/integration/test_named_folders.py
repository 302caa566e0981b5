"""A submission that names a wrong folder is answered by the right one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_dataset, write_edgeface


@pytest.fixture
def datasets(var_dir: Path) -> Path:
    settings = Settings(var_dir=var_dir)
    settings.make_directories()
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    write_dataset(settings.datasets_dir / "faces")
    return settings.datasets_dir


@pytest.fixture
def api(datasets: Path) -> Iterator[TestClient]:
    with TestClient(create_app(Settings(var_dir=datasets.parent))) as client:
        yield client


@pytest.mark.parametrize("path", ["/jobs", "/jobs?dry_run=true", "/dsr-trainings"])
def test_one_folder_for_train_and_val_is_refused_with_both_fields(path: str, api: TestClient) -> None:
    fields: dict[str, Any] = {
        "train_dir": "faces/train_processed",
        "val_dir": "faces/val_processed/../train_processed/",
    }
    if path != "/dsr-trainings":
        fields["recipe"] = "guide"
    answer = api.post(path, json=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "train_is_val")
    assert "train_dir" in answer.json()["detail"]
    assert "val_dir" in answer.json()["detail"]
    assert api.post(path, json={**fields, "allowed_leaks": ["*"]}).is_success


def test_a_similar_folder_is_named(api: TestClient, datasets: Path) -> None:
    def hint(name: str) -> str:
        answer = api.post("/jobs", json={"dataset": name})
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset_not_found")
        return str(answer.json()["hint"])

    assert hint("facse") == "did you mean faces/train_processed?"
    assert api.post("/datasets", json={"dataset": "Faces"}).json()["hint"] == "did you mean faces?"
    assert hint("quite-another").startswith("build one: ")
    (datasets / "faces" / "train_processed").rename(datasets / "faces" / "Train_processed")
    assert "rename Train_processed to train_processed: mv " in hint("faces")


def test_a_sheet_asked_for_by_name_is_answered_by_its_address(api: TestClient) -> None:
    record = api.post("/datasets", json={"dataset": "faces"}).json()
    hint = api.get("/datasets/faces/sheet").json()["hint"]
    assert hint == f"a sheet is found by the id of the record: GET /datasets/{record['id']}/sheet"
    assert api.get(f"/datasets/{record['id']}/sheet").json()["code"] == "no_sheet"
    assert "POST /datasets" in api.get("/datasets/others/sheet").json()["hint"]
