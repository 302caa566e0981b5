"""Named pipes, links and files that may not be read, in the folders of the service: the API names each and never
waits."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from tests.support.privileges import bound_by_modes

CONFIG = {"dataset": "faces", "stage1_epochs": 0, "stage2_epochs": 1}


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with bound_by_modes(), TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def vlr(settings: Settings) -> Path:
    return settings.datasets_dir / "faces" / "train_processed" / "vlr_images"


def first_image(folder: Path) -> Path:
    return min(folder.iterdir())


def refusal(api: TestClient, **changes: object) -> Any:
    answer = api.post("/jobs", json=CONFIG | changes)
    assert answer.status_code == 422, answer.text
    return answer.json()


def test_a_named_pipe_among_the_images_is_named(api: TestClient, vlr: Path) -> None:
    os.mkfifo(vlr / "pipe.png")
    os.mkfifo(vlr / "notes.txt")  # no image: it is never opened
    for path, config in (("/jobs", CONFIG), ("/evaluations", {"eval_dir": "faces/train_processed"})):
        problem = api.post(path, json=config).json()
        assert problem["code"] == "dataset_files_not_regular"
        assert "1 image in " in problem["detail"]
        assert "is no file: pipe.png (a named pipe)" in problem["detail"]


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir], ids=["pipe", "folder"])
def test_a_manifest_that_is_no_file_is_named(api: TestClient, settings: Settings, make: Callable[[Path], None]) -> None:
    make(settings.datasets_dir / "faces" / "dataset.json")
    problem = refusal(api)
    assert problem["code"] == "dataset_manifest_unreadable"
    assert "dataset.json cannot be read: a " in problem["detail"]


def test_a_manifest_that_may_not_be_read_is_not_taken_for_none(api: TestClient, settings: Settings) -> None:
    manifest = settings.datasets_dir / "faces" / "dataset.json"
    manifest.write_text("{}")
    manifest.chmod(0)
    problem = refusal(api)
    assert (problem["code"], "Permission denied" in problem["detail"]) == ("dataset_manifest_unreadable", True)


def test_weights_that_are_a_named_pipe_are_named(api: TestClient, settings: Settings) -> None:
    os.mkfifo(settings.weights_dir / "pipe.pt")
    problem = refusal(api, edgeface="pipe.pt")
    assert problem["code"] == "weights_other_format"
    assert "pipe.pt is a named pipe" in problem["detail"]


def test_links_inside_the_datasets_folder_are_followed(api: TestClient, settings: Settings, vlr: Path) -> None:
    shared = settings.datasets_dir / "shared"
    shared.mkdir()
    image = first_image(vlr)
    image.rename(shared / image.name)
    image.symlink_to(shared / image.name)
    assert api.post("/jobs", json=CONFIG).status_code == 201


@pytest.mark.parametrize("linked", ["image", "folder"])
def test_links_that_lead_outside_need_the_operators_setting(
    settings: Settings, vlr: Path, tmp_path: Path, linked: str
) -> None:
    disk = tmp_path / "other disk"
    disk.mkdir()
    if linked == "folder":
        vlr.rename(disk / "vlr_images")
        vlr.symlink_to(disk / "vlr_images")
    else:
        image = first_image(vlr)
        image.rename(disk / image.name)
        image.symlink_to(disk / image.name)
    with TestClient(create_app(settings)) as api:
        problem = refusal(api)
    assert problem["code"] == "dataset_links_outside"
    assert " in datasets/faces/" in problem["detail"]
    assert str(disk) not in str(problem)
    assert "EDGEFACE_LINKED_DIRS" in problem["hint"]
    allowing = Settings(var_dir=settings.var_dir, linked_dirs=f"/somewhere/else:{disk}")
    with TestClient(create_app(allowing)) as api:
        assert api.post("/jobs", json=CONFIG).status_code == 201


def test_a_manifest_that_is_a_link_to_elsewhere_is_refused(api: TestClient, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    (settings.datasets_dir / "faces" / "dataset.json").symlink_to(tmp_path / "other.json")
    problem = refusal(api)
    assert "outside the folders that may be read" in problem["detail"]


def test_a_root_that_may_not_be_listed_is_not_empty(api: TestClient, settings: Settings) -> None:
    for root, route in ((settings.datasets_dir, "/datasets"), (settings.weights_dir, "/weights")):
        mode = root.stat().st_mode
        root.chmod(0)
        answer = api.get(route)
        problem = answer.json()
        root.chmod(mode)
        assert (answer.status_code, problem["code"]) == (503, "folder_unreadable")
        assert problem["detail"] == f"{route[1:]} cannot be listed: Permission denied"


@pytest.mark.parametrize("field", ["train_dir", "edgeface"])
def test_an_input_that_may_not_be_reached_is_not_missing(api: TestClient, settings: Settings, field: str) -> None:
    root = settings.weights_dir if field == "edgeface" else settings.datasets_dir
    closed = root / "closed"
    if field == "edgeface":
        closed.mkdir()
        shutil.copy(root / "edgeface_xxs.pt", closed)
        changes = {"edgeface": "closed/edgeface_xxs.pt"}
    else:
        shutil.copytree(root / "faces", closed)
        changes = {"dataset": "closed"}
    closed.chmod(0)
    problem = refusal(api, **changes)
    closed.chmod(0o755)
    assert (problem["code"], problem["errors"][0]["field"]) == ("input_unreadable", field)
    assert "cannot be opened: Permission denied" in problem["detail"]


def test_a_folder_outside_the_roots_must_be_absolute() -> None:
    with pytest.raises(ValueError, match="linked_dirs: 'data' is no absolute path"):
        Settings(linked_dirs="/data:data")
