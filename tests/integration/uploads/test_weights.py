"""An upload becomes weights: checked, private until they are shared, deleted with what needs them told first."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from app.access.scopes import Scope
from app.access.tables import AuditEntry
from app.cleaner import clean
from app.dataset_roots import weights_roots
from app.jobs.tables import UploadedInput
from app.settings import Settings
from tests.integration.access.conftest import database_of
from tests.integration.uploads.sending import begin, upload
from tests.support.access import bearer, key_of
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.hostile_weights import archive, saved, tensors_of


@pytest.fixture
def edgeface(tmp_path: Path) -> bytes:
    return write_edgeface(tmp_path / "edgeface.pt").read_bytes()


def receive(api: TestClient, content: bytes, name: str = "ours.pt") -> Any:
    upload_id = upload(api, content, "mine.pt")
    return api.post("/weights", json={"name": name, "upload": upload_id})


def used(api: TestClient) -> int:
    return int(api.get("/uploads").json()["used_bytes"])


def test_an_upload_becomes_weights_that_a_job_names(api: TestClient, settings: Settings, edgeface: bytes) -> None:
    write_dataset(settings.datasets_dir / "faces")
    answer = receive(api, edgeface)
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert (view["network"], view["owner"], view["shared"], view["size"]) == (
        "edgeface_xxs",
        "local",
        False,
        len(edgeface),
    )
    listed = api.get("/weights").json()
    assert (listed["root"], listed["names"], listed["uploaded"]) == ("weights", ["ours.pt"], [view])
    file = weights_roots(settings).uploaded / "ours.pt"
    assert file.read_bytes() == edgeface
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.stat().st_nlink == 1
    assert used(api) == len(edgeface)
    assert api.get("/uploads").json()["uploads"] == []
    job = api.post("/jobs", json={"dataset": "faces", "edgeface": "ours.pt"})
    assert job.status_code == 201, job.text

    refused = api.delete("/weights/ours.pt")
    assert (refused.status_code, refused.json()["code"]) == (409, "input_in_use")
    assert job.json()["id"] in refused.json()["detail"]
    assert file.exists()
    assert api.delete("/weights/ours.pt?force=true").json() == view
    assert not file.exists()
    assert list((settings.uploads_dir / "quarantine").iterdir()) == []
    assert used(api) == 0
    assert api.get("/weights").json()["names"] == []
    with database_of(api.app).reading() as session:
        entries = [(each.action, each.target) for each in session.exec(select(AuditEntry))]
    assert [each for each in entries if "weights" in each[1]] == [
        ("receive", "/weights/ours.pt"),
        ("delete", "/weights/ours.pt"),
    ]


def test_weights_go_when_the_jobs_that_name_them_have_ended(
    api: TestClient, settings: Settings, edgeface: bytes
) -> None:
    write_dataset(settings.datasets_dir / "faces")
    assert receive(api, edgeface).status_code == 201
    job = api.post("/jobs", json={"dataset": "faces", "edgeface": "ours.pt"}).json()["id"]
    api.post(f"/jobs/{job}/cancel")
    assert api.delete("/weights/ours.pt").status_code == 200


def test_a_dsr_network_is_told_from_an_edgeface(api: TestClient) -> None:
    assert receive(api, saved(tensors_of()), "dsr.pt").json()["network"] == "DSR"


def test_a_taken_name_is_refused(api: TestClient, settings: Settings, edgeface: bytes) -> None:
    (settings.weights_dir / "own.pt").write_bytes(b"by hand")
    assert receive(api, edgeface).status_code == 201
    for name in ("ours.pt", "own.pt"):
        refused = receive(api, edgeface, name)
        assert (refused.status_code, refused.json()["code"]) == (409, "weights_name_taken")
    assert len(api.get("/uploads").json()["uploads"]) == 2
    assert (settings.weights_dir / "own.pt").read_bytes() == b"by hand"


def test_a_file_by_hand_is_never_deleted(api: TestClient, settings: Settings) -> None:
    (settings.weights_dir / "own.pt").write_bytes(b"by hand")
    refused = api.delete("/weights/own.pt?force=true")
    assert (refused.status_code, refused.json()["code"]) == (404, "weights_not_uploaded")
    assert (settings.weights_dir / "own.pt").read_bytes() == b"by hand"


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"nonsense", "weights_unreadable"), (archive(b"\x80\x02}(K\x01K\x02u."), "weights_without_tensors")],
)
def test_what_is_no_network_is_refused_by_its_own_name(
    api: TestClient, settings: Settings, content: bytes, code: str
) -> None:
    refused = receive(api, content)
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert "mine.pt" in refused.json()["detail"]
    assert str(settings.var_dir) not in refused.text
    assert api.get("/weights").json()["names"] == []


def test_half_an_upload_and_a_name_that_no_config_finds_are_refused(api: TestClient) -> None:
    half = begin(api, 5).rpartition("/")[2]
    refused = api.post("/weights", json={"name": "ours.pt", "upload": half})
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_unfinished")
    for name in ("../ours.pt", "ours", ".ours.pt", "a/ours.pt"):
        assert api.post("/weights", json={"name": name, "upload": half}).status_code == 422


def test_weights_are_their_owners_until_they_are_shared(api: TestClient, settings: Settings, edgeface: bytes) -> None:
    write_dataset(settings.datasets_dir / "faces")
    database = database_of(api.app)
    anna, ben = (bearer(key_of(database, name, Scope.SUBMIT, Scope.DATA)) for name in ("anna", "ben"))
    form = api.post("/uploads", files={"file": ("mine.pt", edgeface)}, headers=anna)
    body = {"name": "ours.pt", "upload": form.json()["id"]}
    assert api.post("/weights", json=body, headers=ben).status_code == 404
    assert api.post("/weights", json=body, headers=anna).status_code == 201

    config = {"dataset": "faces", "edgeface": "ours.pt"}
    hidden = api.post("/jobs", json=config, headers=ben)
    assert (hidden.status_code, hidden.json()["code"]) == (422, "weights_not_found")
    assert api.get("/weights", headers=ben).json()["names"] == []
    for method, sent in (("DELETE", None), ("PATCH", {"shared": True})):
        assert api.request(method, "/weights/ours.pt", json=sent, headers=ben).status_code == 404

    assert api.patch("/weights/ours.pt", json={"shared": True}, headers=anna).json()["shared"]
    assert api.get("/weights", headers=ben).json()["names"] == ["ours.pt"]
    assert api.post("/jobs", json=config, headers=ben).status_code == 201
    assert api.delete("/weights/ours.pt", headers=ben).json()["code"] == "not_owner"
    refused = api.delete("/weights/ours.pt", headers=anna).json()
    assert refused["code"] == "input_in_use"
    assert "1 job" in refused["detail"]  # Ben's, whose id is not Anna's to know
    assert not any(job["id"] in refused["detail"] for job in api.get("/jobs", headers=ben).json()["jobs"])


def test_a_leftover_of_a_killed_service_is_nobodys_and_is_cleaned(
    api: TestClient, settings: Settings, edgeface: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(settings.datasets_dir / "faces")
    root = weights_roots(settings).uploaded
    root.mkdir(parents=True)
    (root / "ours.pt").write_bytes(b"left")
    assert api.get("/weights").json()["names"] == []
    refused = api.post("/jobs", json={"dataset": "faces", "edgeface": "ours.pt"})
    assert refused.json()["code"] == "weights_not_found"
    assert receive(api, edgeface).status_code == 201
    (root / "other.pt").write_bytes(b"left")
    clean(database_of(api.app), settings)
    assert sorted(path.name for path in root.iterdir()) == ["other.pt", "ours.pt"]  # its row may be about to be written
    monkeypatch.setattr("app.uploads.cleaning._ABANDONED_SECONDS", -1.0)
    clean(database_of(api.app), settings)
    assert [path.name for path in root.iterdir()] == ["ours.pt"]


def uploaded_dataset(api: TestClient, settings: Settings) -> Path:
    """What the job of an import leaves."""
    folder = write_dataset(settings.uploads_dir / "datasets" / "office")
    with database_of(api.app).writing() as session:
        session.add(
            UploadedInput(
                kind="dataset", name="office", owner="local", size=1000, sha256="0" * 64, created_at=0.0, job_id=None
            )
        )
    assert api.post("/datasets", json={"dataset": "office"}).status_code == 201
    return folder


def test_an_uploaded_dataset_is_deleted_with_its_files_and_its_quota(api: TestClient, settings: Settings) -> None:
    uploaded_dataset(api, settings)
    folder = settings.uploads_dir / "datasets" / "office"
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    job = api.post("/jobs", json={"dataset": "office"}).json()["id"]
    refused = api.delete("/datasets/office?files=true")
    assert (refused.status_code, refused.json()["code"]) == (409, "input_in_use")
    assert job in refused.json()["detail"]
    assert used(api) == 1000
    assert folder.is_dir()
    assert api.get("/datasets/office").status_code == 200
    assert api.delete("/datasets/office?files=true&force=true").status_code == 200
    assert not folder.exists()
    assert list((settings.uploads_dir / "quarantine").iterdir()) == []
    assert used(api) == 0
    assert api.get("/datasets").json()["names"] == []


def test_a_folder_that_hides_an_uploaded_dataset_is_refused(api: TestClient, settings: Settings) -> None:
    uploaded_dataset(api, settings)
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    write_dataset(settings.datasets_dir / "office")
    for path in ("/datasets", "/jobs"):
        refused = api.post(path, json={"dataset": "office"})
        assert (refused.status_code, refused.json()["code"]) == (409, "dataset_hides_upload"), path
    assert api.delete("/datasets/office?files=true&force=true").status_code == 200
    assert api.post("/datasets", json={"dataset": "office"}).status_code == 201
    assert api.post("/jobs", json={"dataset": "office"}).status_code == 201


def test_a_folder_of_the_users_own_is_never_deleted(api: TestClient, settings: Settings) -> None:
    write_dataset(settings.datasets_dir / "faces")
    api.post("/datasets", json={"dataset": "faces"})
    refused = api.delete("/datasets/faces?files=true&force=true")
    assert (refused.status_code, refused.json()["code"]) == (409, "dataset_not_uploaded")
    assert api.get("/datasets/faces").status_code == 200
    assert api.delete("/datasets/faces").status_code == 200
    assert (settings.datasets_dir / "faces" / "train_processed").is_dir()
