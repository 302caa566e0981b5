"""Records of datasets whose names, files or weights are out of the ordinary."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient
from PIL import Image

from app.checked_weights.reading import MOST_VALUE
from app.main import create_app
from app.settings import Settings
from tests.integration.test_datasets import LONG_AGO, make_old, run_waiting_jobs
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.image_reads import image_reads

LATIN_1 = os.fsdecode("caf\u00e9".encode("latin-1"))
SHOWN = "caf\\udce9"


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    settings = Settings(var_dir=var_dir)
    settings.make_directories()
    return settings


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings), raise_server_exceptions=False) as client:
        yield client


def make_dataset(settings: Settings, name: str) -> Path:
    dataset = write_dataset(settings.datasets_dir / name)
    make_old(dataset)
    return dataset


def test_all_names_of_a_dataset_and_of_its_parts_ask_for_one_check_of_the_whole(
    api: TestClient, settings: Settings
) -> None:
    make_dataset(settings, "lrhr")
    names = ["lrhr", "lrhr/", "lrhr/../lrhr", "./lrhr", "lrhr/val_processed"]
    answers = [api.post("/datasets", json={"dataset": name, "device": "cpu"}).json() for name in names]
    assert {answer["name"] for answer in answers} == {"lrhr"}
    assert len({answer["check"]["job"] for answer in answers}) == 1
    run_waiting_jobs(settings)
    record = api.get("/datasets/lrhr").json()
    assert [part["part"] for part in record["parts"]] == ["train_processed", "val_processed"]
    assert record["findings"]["images"] == 24


def test_folders_and_files_whose_names_are_not_utf_8_are_registered_and_checked(
    api: TestClient, settings: Settings
) -> None:
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    dataset = write_dataset(settings.datasets_dir / LATIN_1)
    for image in sorted(dataset.rglob("000_*.png")):
        image.rename(image.with_name(image.name.replace("000", LATIN_1)))
    (broken,) = dataset.glob(f"train_processed/hr_images/{LATIN_1}_00.png")
    broken.write_bytes(b"no image")
    make_old(dataset)
    answer = api.post("/datasets", json={"dataset": SHOWN, "device": "cpu"})
    assert (answer.status_code, answer.json()["name"], answer.json()["fresh"]) == (201, SHOWN, True), answer.text
    run_waiting_jobs(settings)
    record = api.get("/datasets").json()["datasets"][0]
    assert api.get(record["links"]["check"]).json()["error"] is None
    assert record["checked_at"] is not None

    body = {"dataset": SHOWN, "allowed_leaks": ["*"]}
    job = api.post("/jobs", json=body)
    assert job.status_code == 201, job.text
    assert {(each["name"], each["manifest"]) for each in job.json()["datasets"]} == {(SHOWN, record["manifest"])}
    refused = api.post("/jobs", json={**body, "recipe": "recommended"}).json()
    assert (refused["code"], SHOWN in refused["detail"]) == ("image_unreadable", True), refused


@pytest.mark.parametrize("path", ["/datasets", "/jobs", "/evaluations"])
@pytest.mark.parametrize(
    "body", [{"dataset": "d1\udce9"}, {"edgeface": "d\udce9"}, {"\udce9": 1}, {"device": ["\ud800"]}]
)
def test_text_of_a_body_that_is_no_unicode_is_refused_in_words(
    api: TestClient, path: str, body: dict[str, object]
) -> None:
    answer = api.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid"), answer.text
    assert answer.json()["errors"]


def check(api: TestClient, settings: Settings, name: str, **fields: object) -> dict[str, Any]:
    """Register the dataset and let a worker check it. Return its record."""
    answer = api.post("/datasets", json={"dataset": name, "device": "cpu", **fields})
    assert answer.status_code in (200, 201), answer.text
    run_waiting_jobs(settings)
    record: dict[str, Any] = api.get(answer.headers["Location"]).json()
    assert api.get(record["links"]["check"]).json()["error"] is None
    return record


def test_a_dataset_whose_files_were_written_counts_as_unchecked_from_its_registration_on(
    api: TestClient, settings: Settings
) -> None:
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    dataset = make_dataset(settings, "faces")
    record = check(api, settings, "faces")
    body = {"dataset": "faces", "allowed_leaks": ["*"], "stage1_epochs": 0, "stage2_epochs": 1}

    with image_reads(dataset) as reads:
        unchanged = api.post("/datasets", json={"dataset": "faces", "device": "cpu"}).json()
        assert not reads.opens
    assert [unchanged[name] for name in ("manifest", "findings", "checked_at")] == [
        record[name] for name in ("manifest", "findings", "checked_at")
    ]

    changed = dataset / "val_processed/hr_images/000_00.png"
    Image.new("RGB", (112, 112), (200, 10, 10)).save(changed)
    written = api.post("/datasets", json={"dataset": "faces", "device": "cpu"}).json()
    assert (written["fresh"], written["manifest"], written["findings"], written["checked_at"]) == (
        True,
        None,
        None,
        None,
    )
    job = api.post("/jobs", json=body).json()
    assert {each["manifest"] for each in job["datasets"]} == {None}
    run_waiting_jobs(settings)
    assert api.get(f"/jobs/{job['id']}").json()["error"] is None
    assert api.get("/datasets/faces").json()["manifest"] not in (None, record["manifest"])


def test_unsuitable_weights_are_refused_at_once(api: TestClient, settings: Settings) -> None:
    make_dataset(settings, "faces")
    torch.save({"model.stem.0.weight": torch.zeros(3)}, settings.weights_dir / "other.pt")
    (settings.weights_dir / "damaged.pt").write_bytes(b"no weights")
    write_edgeface_of(settings.weights_dir / "no_numbers.pt", torch.nan)
    write_edgeface_of(settings.weights_dir / "absurd.pt", 1e38)
    for name in ("other.pt", "damaged.pt", "no_numbers.pt", "absurd.pt"):
        body = {"dataset": "faces", "edgeface": name}
        refused, as_a_job = (api.post(path, json=body) for path in ("/datasets", "/jobs"))
        assert refused.status_code == 422, refused.text
        assert refused.json()["code"] == as_a_job.json()["code"]
    assert api.get("/datasets").json()["datasets"] == []


def write_edgeface_of(path: Path, value: float) -> None:
    tensors = torch.load(write_edgeface(path), weights_only=True)
    torch.save({name: torch.full_like(tensor.float(), value) for name, tensor in tensors.items()}, path)


def test_weights_that_cannot_judge_lose_no_other_finding(api: TestClient, settings: Settings) -> None:
    """A network may hold each number, and the sums of their products overflow."""
    make_dataset(settings, "faces")
    write_edgeface_of(settings.weights_dir / "overflowing.pt", MOST_VALUE)
    record = check(api, settings, "faces", edgeface="overflowing.pt")
    assert (record["findings"]["images"], record["findings"]["labels"]) == (24, {})
    assert "labels_not_judged" in [warning["code"] for warning in record["warnings"]]


def test_records_of_equal_images_under_other_patterns_have_sheets_of_their_own(
    api: TestClient, settings: Settings, shared_assets: Path
) -> None:
    """Two images have each other's name. Under the second pattern two subjects are two people each, too."""
    shutil.copyfile(shared_assets / "weights/edgeface_xxs.pt", settings.weights_dir / "edgeface_xxs.pt")
    people = sorted((shared_assets / "faces/orl_aligned").iterdir())[:8]
    for part in ("train_processed", "val_processed"):
        folder = settings.datasets_dir / "first" / part / "hr_images"
        folder.mkdir(parents=True)
        for number, person in enumerate(people[:6] if part == "train_processed" else people[6:]):
            for image, photo in enumerate(sorted(person.iterdir())[:6]):
                # Photo 0 of each of the first two people has the other's number.
                named = 1 - number if part == "train_processed" and number < 2 and image == 0 else number
                Image.open(photo).save(folder / f"{part[0]}{named}_{image:02}.png")
    shutil.copytree(settings.datasets_dir / "first", settings.datasets_dir / "second")
    for name in ("first", "second"):
        make_old(settings.datasets_dir / name)
    first = check(api, settings, "first", subject_pattern="guide")
    sheet = api.get(first["links"]["sheet"])
    assert sheet.status_code == 200
    second = check(api, settings, "second", subject_pattern="[tv]([0-9])_.*")
    assert second["manifest"] == first["manifest"]
    assert api.get(second["links"]["sheet"]).content != sheet.content
    again = api.get(first["links"]["sheet"])
    assert (again.status_code, again.content) == (200, sheet.content)


def test_files_that_cannot_be_opened_are_found_like_those_that_cannot_be_decoded(
    api: TestClient, settings: Settings
) -> None:
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    dataset = make_dataset(settings, "faces")
    images = dataset / "train_processed/hr_images"
    link = images / "000_00.png"
    link.unlink()
    link.symlink_to(images / "nowhere.png")
    (images / "001_00.png").write_bytes(b"no image")
    (images / "folder.png").mkdir()
    (images / "folder.png" / "001_01.png").write_bytes(b"no image")
    (images / "notes.txt").write_text("notes")
    for path in (images / "folder.png", images / "001_00.png", images):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))

    record = check(api, settings, "faces")
    unreadable = {each["path"]: each["reason"] for each in record["findings"]["unreadable"]}
    assert set(unreadable) == {"hr_images/000_00.png", "hr_images/001_00.png"}
    assert "No such file" in unreadable["hr_images/000_00.png"]
    (ignored,) = [warning["message"] for warning in record["warnings"] if warning["code"] == "files_ignored"]
    assert "folder.png" in ignored
    assert "notes.txt" in ignored
    assert record["manifest"] is not None
    registered = api.post("/datasets", json={"dataset": "faces", "device": "cpu"}).json()
    assert registered["findings"] == record["findings"], "nothing was written since"

    body = {"dataset": "faces", "allowed_leaks": ["*"], "recipe": "recommended"}
    refused = api.post("/jobs", json=body).json()
    assert (refused["code"], link.name in refused["detail"]) == ("image_unreadable", True)
    link.resolve().write_bytes((images / "001_01.png").read_bytes())
    os.utime(images, ns=(LONG_AGO, LONG_AGO))
    mended = api.post("/datasets", json={"dataset": "faces", "device": "cpu"}).json()
    assert mended["findings"] is None
