"""Records of datasets: registered, listed once, checked once by a worker, and compared by each job."""

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

import app.finetune.dataset_listing
from app.database import Database
from app.dataset_build import build_dataset
from app.datasets.manifests import clean_manifests
from app.drawn_faces import write_drawn_faces
from app.finetune.manifest import read_manifest
from app.main import create_app
from app.settings import Settings
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.image_reads import image_reads
from worker.kinds import WORKER_KINDS
from worker.supervisor import Supervisor
from worker.trainer_process import train

LONG_AGO = 10**18


@pytest.fixture
def settings(var_dir: Path) -> Settings:
    settings = Settings(var_dir=var_dir)
    settings.make_directories()
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    faces = settings.datasets_dir / "faces"
    write_drawn_faces(settings.var_dir / "photos", subjects=6, images_per_subject=3, seed=1)
    build_dataset(settings.var_dir / "photos", faces, test_fraction=0)
    (faces / "dataset.json").unlink(missing_ok=True)
    make_old(faces)
    return settings


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture
def listings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The parts that were listed, in order."""
    listed: list[Path] = []
    scan = app.finetune.dataset_listing.scan_part

    def counted(directory: Path, *arguments: Any) -> Any:
        listed.append(directory)
        return scan(directory, *arguments)

    monkeypatch.setattr(app.finetune.dataset_listing, "scan_part", counted)
    return listed


def make_old(dataset: Path) -> None:
    """As if nobody had touched it for years: a folder that was just changed is listed again."""
    for path in (dataset, *dataset.rglob("*")):
        os.utime(path, ns=(LONG_AGO, LONG_AGO))


def run_waiting_jobs(settings: Settings) -> None:
    database, processes = Database(settings.database_url), multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["worker.trainer_process", *(kind.module for kind in WORKER_KINDS.values())])
    Supervisor(database, settings, processes, train).run_waiting_jobs()
    database.close()


def register(api: TestClient, settings: Settings, **fields: object) -> dict[str, Any]:
    """Register the dataset `faces`, let a worker check it, and return its record."""
    answer = api.post("/datasets", json={"dataset": "faces", "device": "cpu", **fields})
    assert answer.status_code in (200, 201), answer.text
    run_waiting_jobs(settings)
    record: dict[str, Any] = api.get(answer.headers["Location"]).json()
    job = api.get(record["links"]["check"]).json()
    assert (job["status"], job["error"], job["progress"]) == ("succeeded", None, 1.0)
    return record


def submit(api: TestClient, **fields: object) -> Any:
    return api.post("/jobs", json={"dataset": "faces", "stage1_epochs": 0, "stage2_epochs": 1, **fields})


def test_a_dataset_that_was_never_registered_is_scanned_by_name_and_registered(
    api: TestClient, settings: Settings, listings: list[Path]
) -> None:
    with image_reads(settings.datasets_dir) as reads:
        job = submit(api).json()
        assert [path.name for path in listings] == ["train_processed", "val_processed"]
        listings.clear()
        for _ in range(2):
            assert submit(api).status_code == 201
            assert api.post("/jobs?dry_run=true", json={"dataset": "faces"}).status_code == 200
            assert api.post("/evaluations", json={"dataset": "faces"}).status_code == 201
            assert api.post("/dsr-trainings", json={"dataset": "faces"}).status_code == 201
        assert listings == []
        assert not reads.opens
    (record,) = api.get("/datasets").json()["datasets"]
    assert (record["name"], record["fresh"], record["check"], record["checked_at"]) == ("faces", True, None, None)
    assert [(part["part"], part["problem"]) for part in record["parts"]] == [
        ("train_processed", None),
        ("val_processed", None),
    ]
    assert job["datasets"] == [
        {
            "field": field,
            "dataset": record["id"],
            "name": "faces",
            "part": part,
            "subject_pattern": "guide",
            "manifest": None,
        }
        for field, part in (("train_dir", "train_processed"), ("val_dir", "val_processed"))
    ]


def test_a_changed_folder_is_listed_again(api: TestClient, settings: Settings, listings: list[Path]) -> None:
    assert submit(api).status_code == 201
    images = settings.datasets_dir / "faces/train_processed/vlr_images"
    for image in images.iterdir():
        image.unlink()
    listings.clear()
    assert not api.get("/datasets/faces").json()["fresh"]
    refused = submit(api).json()
    assert refused["code"] == "dataset_folder_empty"
    assert listings


def test_what_the_check_found_is_told_and_refused_at_once(api: TestClient, settings: Settings) -> None:
    faces = settings.datasets_dir / "faces"
    train, val = (sorted((faces / part / "vlr_images").iterdir()) for part in ("train_processed", "val_processed"))
    shutil.copyfile(train[0], val[0])
    shutil.copyfile(
        train[0].parent.parent / "hr_images" / train[0].name, val[0].parent.parent / "hr_images" / val[0].name
    )
    Image.new("RGB", (16, 16), (7, 7, 7)).save(train[1])
    Image.new("RGB", (92, 100), (90, 80, 70)).save(train[2].parent.parent / "hr_images" / train[2].name)
    make_old(faces)
    assert submit(api).status_code == 201, "nobody has looked at the pixels"

    with image_reads(faces) as reads:
        record = register(api, settings)
        assert not reads.opens, "the worker reads, not the API"
        told = {warning["code"]: warning for warning in record["warnings"]}
        assert told["images_constant"]["part"] == "train_processed"
        assert train[1].name in told["images_constant"]["message"]
        assert "92x100" in told["hr_images_small"]["message"]
        assert train[2].name in told["hr_images_stretched"]["message"]
        assert train[0].name in told["photo_copied"]["message"]
        assert record["findings"]["alignment"]["measured"] > 0

        refused = submit(api)
        assert (refused.status_code, refused.json()["code"]) == (422, "photo_copied")
        assert f"train {train[0].name} and val {val[0].name}" in refused.json()["detail"]
        assert submit(api, allowed_leaks=["other.png"]).status_code == 422
        for name in (val[0].name, train[0].stem, f"{train[0].name.split('_')[0]}={val[0].name.split('_')[0]}", "*"):
            allowed = submit(api, allowed_leaks=[name])
            assert allowed.status_code == 201
        codes = [warning["code"] for warning in allowed.json()["warnings"]]
        assert {"images_constant", "hr_images_small"} <= set(codes)
        assert api.post("/dsr-trainings", json={"dataset": "faces"}).json()["code"] == "photo_copied"
        assert api.post("/evaluations", json={"dataset": "faces"}).status_code == 201
        assert not reads.opens


def test_unreadable_images_that_the_job_reads_are_refused(api: TestClient, settings: Settings) -> None:
    faces = settings.datasets_dir / "faces"
    broken = sorted((faces / "train_processed/hr_images").iterdir())[0]
    broken.write_bytes(b"no image")
    make_old(faces)
    record = register(api, settings)
    (found,) = record["findings"]["unreadable"]
    assert (found["part"], found["path"]) == ("train_processed", f"hr_images/{broken.name}")
    assert submit(api).status_code == 201, "the guide's recipe reads no HR image of train"
    for path, body in (("/jobs", {"recipe": "recommended"}), ("/dsr-trainings", {})):
        refused = api.post(path, json={"dataset": "faces", **body}).json()
        assert (refused["code"], broken.name in refused["detail"]) == ("image_unreadable", True)
    Image.new("RGB", (112, 112), (200, 10, 10)).save(broken)
    mended = api.post("/dsr-trainings", json={"dataset": "faces"})
    assert mended.status_code == 201, "writing into a file does not change its folder's time"
    assert mended.json()["datasets"][0]["manifest"] is None


@pytest.mark.slow
def test_each_file_is_compared_with_the_manifest_when_the_job_prepares(api: TestClient, settings: Settings) -> None:
    faces = settings.datasets_dir / "faces"
    record = register(api, settings)
    digest = record["manifest"]
    manifest = read_manifest(settings.artifacts_dir / "datasets" / f"{digest}.json")
    assert manifest is not None
    assert manifest.digest == digest
    assert {file.path for file in manifest.files} == {
        path.relative_to(faces).as_posix() for path in faces.rglob("*.png")
    }
    changed = sorted((faces / "val_processed/vlr_images").iterdir())[0]
    job = submit(api).json()
    estimate = api.post("/jobs?dry_run=estimate", json={"dataset": "faces"}).json()
    evaluation = api.post("/evaluations", json={"dataset": "faces"}).json()
    dsr = api.post("/dsr-trainings", json={"dataset": "faces", "epochs": 1}).json()
    assert {each["manifest"] for each in job["datasets"]} == {digest}
    Image.new("RGB", (16, 16), (200, 10, 10)).save(changed)
    Image.new("RGB", (112, 112), (200, 10, 10)).save(changed.parent.parent / "hr_images" / changed.name)
    run_waiting_jobs(settings)
    for each in (job, estimate, evaluation, dsr):
        error = api.get(f"/jobs/{each['id']}").json()["error"]
        assert error["code"] == "dataset_changed", error
        assert changed.name in error["message"]
        assert "POST /datasets" in error["hint"]
        assert error["blame"] == "data"

    again = register(api, settings)
    assert again["manifest"] != digest
    assert {each["manifest"] for each in submit(api).json()["datasets"]} == {again["manifest"]}


def test_a_pattern_is_registered_with_the_dataset_and_used_by_its_jobs(api: TestClient, settings: Settings) -> None:
    people = settings.datasets_dir / "people"
    for part in ("train_processed", "val_processed"):
        for kind, size in (("vlr_images", 16), ("hr_images", 112)):
            (people / part / kind).mkdir(parents=True)
            for number, name in enumerate(["Aaron_A", "Aaron_B", "Zoe_A", "Zoe_B"]):
                for image in range(2):
                    shade = (60 * number, 90 * image, 40 if part == "val_processed" else 140)
                    Image.new("RGB", (size, size), shade).save(people / part / kind / f"{name}_{image:04}.png")
    make_old(people)
    assert api.post("/datasets", json={"dataset": "people"}).json()["parts"][0]["subjects"] == 2
    answer = api.post("/datasets", json={"dataset": "people", "subject_pattern": "lfw"})
    assert (answer.status_code, answer.json()["subject_pattern"]) == (200, "lfw")
    assert answer.json()["parts"][0]["subjects"] == 4
    job = api.post("/jobs", json={"dataset": "people", "stage1_epochs": 0, "stage2_epochs": 1, "allowed_leaks": ["*"]})
    assert {each["subject_pattern"] for each in job.json()["datasets"]} == {"lfw"}
    run_waiting_jobs(settings)
    assert api.get(f"/jobs/{job.json()['id']}").json()["facts"]["subjects"] == 4
    refused = api.post("/datasets", json={"dataset": "people", "subject_pattern": "nobody"})
    assert (refused.status_code, refused.json()["code"]) == (422, "subject_pattern_invalid")


def test_a_check_that_waits_is_not_queued_twice(api: TestClient, settings: Settings) -> None:
    first = api.post("/datasets", json={"dataset": "faces"})
    again = api.post("/datasets", json={"dataset": "faces"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["check"] == again.json()["check"]
    assert first.json()["check"]["status"] == "queued"
    assert [job["id"] for job in api.get("/jobs?kind=dataset_check").json()["jobs"]] == [first.json()["check"]["job"]]
    other = api.post("/datasets", json={"dataset": "faces", "edgeface": "edgeface_xxs.pt"}).json()
    assert other["check"] != first.json()["check"]
    assert api.get(f"/jobs/{first.json()['check']['job']}").json()["status"] == "cancelled"
    assert api.post("/datasets", json={"dataset": "nothing"}).json()["code"] == "dataset_not_found"
    (settings.datasets_dir / "empty").mkdir()
    assert api.post("/datasets", json={"dataset": "empty"}).json()["code"] == "dataset_folder_missing"


def test_a_removed_record_leaves_the_folder_and_the_jobs_as_they_are(api: TestClient, settings: Settings) -> None:
    record = register(api, settings)
    job = submit(api).json()
    waiting = api.post("/datasets", json={"dataset": "faces"}).json()["check"]["job"]
    removed = api.delete("/datasets/faces")
    assert (removed.status_code, removed.json()["id"]) == (200, record["id"])
    assert api.get(f"/jobs/{waiting}").json()["status"] == "cancelled"
    assert api.get("/datasets").json()["datasets"] == []
    for answer in (api.get("/datasets/faces"), api.delete(f"/datasets/{record['id']}")):
        assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_registered")
    assert (settings.datasets_dir / "faces/train_processed/vlr_images").is_dir()
    run_waiting_jobs(settings)
    ended = api.get(f"/jobs/{job['id']}").json()
    assert (ended["status"], ended["datasets"]) == ("succeeded", job["datasets"])


def test_a_name_with_a_slash_is_found_by_name(api: TestClient, settings: Settings) -> None:
    write_dataset(settings.datasets_dir / "folds/fold-1")
    api.post("/jobs", json={"dataset": "folds/fold-1"})
    assert api.get("/datasets/folds/fold-1").json()["name"] == "folds/fold-1"
    assert set(api.get("/datasets").json()["names"]) == {"faces", "folds/fold-1"}


SPOILS: list[tuple[Callable[[Path], object], str]] = [
    (lambda faces: shutil.rmtree(faces / "val_processed"), "dataset_not_found"),
    (lambda faces: shutil.rmtree(faces / "train_processed/vlr_images"), "dataset_folder_missing"),
    (lambda faces: shutil.rmtree(faces / "val_processed/hr_images"), "dataset_folder_missing"),
]


@pytest.mark.parametrize(("spoil", "code"), SPOILS)
def test_a_dataset_that_breaks_after_it_was_registered_is_refused_as_before(
    api: TestClient, settings: Settings, spoil: Callable[[Path], object], code: str
) -> None:
    assert submit(api).status_code == 201
    spoil(settings.datasets_dir / "faces")
    assert submit(api).json()["code"] == code


def test_wrong_names_are_shown_on_a_sheet_and_judged_once_for_each_weights_file(
    api: TestClient, settings: Settings, shared_assets: Path
) -> None:
    """Two photos of different people have each other's name."""
    shutil.copyfile(shared_assets / "weights/edgeface_xxs.pt", settings.weights_dir / "edgeface_xxs.pt")
    photos = settings.var_dir / "people"
    for person in sorted((shared_assets / "faces/orl_aligned").iterdir())[:8]:
        (photos / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:6]:
            shutil.copyfile(photo, photos / person.name / photo.name)
    faces = settings.datasets_dir / "faces"
    shutil.rmtree(faces)
    build_dataset(photos, faces, test_fraction=0)
    (faces / "dataset.json").unlink(missing_ok=True)
    hr_images = faces / "train_processed/hr_images"
    by_subject: dict[str, Path] = {}
    for image in sorted(hr_images.iterdir()):
        by_subject.setdefault(image.name.partition("_")[0], image)
    first, second, *_ = by_subject.values()
    first.rename(hr_images / "swapped.png")
    second.rename(first)
    (hr_images / "swapped.png").rename(second)
    make_old(faces)

    record = register(api, settings)
    (judged,) = record["findings"]["labels"].values()
    assert {wrong["image"] for wrong in judged["judgement"]["mislabelled"]} == {first.stem, second.stem}
    (told,) = (warning for warning in record["warnings"] if warning["code"] == "likely_mislabelled")
    assert first.stem in told["message"]
    sheet = api.get(record["links"]["sheet"])
    assert (sheet.status_code, sheet.headers["content-type"]) == (200, "image/png")
    assert sheet.content.startswith(b"\x89PNG")
    beyond = api.get(record["links"]["sheet"], params={"page": 2})
    assert (beyond.status_code, beyond.json()["code"]) == (404, "no_sheet")
    assert "likely_mislabelled" in [warning["code"] for warning in submit(api).json()["warnings"]]

    # The same images and the same weights are not judged again.
    assert register(api, settings)["findings"]["labels"] == record["findings"]["labels"]


def test_manifests_and_sheets_that_nothing_names_are_deleted(api: TestClient, settings: Settings) -> None:
    record = register(api, settings)
    kept = settings.artifacts_dir / "datasets"
    (kept / ("ab" * 32)).mkdir()
    (kept / ("ab" * 32) / "labels_001.png").write_bytes(b"sheet")
    (kept / ("cd" * 32 + ".json")).write_text("{}")
    make_old(kept)
    database = Database(settings.database_url)
    assert clean_manifests(database, settings.artifacts_dir, 0.0).files == 2
    assert [path.name for path in kept.iterdir()] == [f"{record['manifest']}.json"]
    job = submit(api).json()
    api.delete("/datasets/faces")
    make_old(kept)
    assert clean_manifests(database, settings.artifacts_dir, 0.0).files == 0, "the job will compare its images"
    api.post(f"/jobs/{job['id']}/cancel")
    assert clean_manifests(database, settings.artifacts_dir, 0.0).files == 1
    database.close()


def test_what_dataset_build_wrote_is_known_at_the_first_listing(api: TestClient, settings: Settings) -> None:
    built = settings.datasets_dir / "built"
    build_dataset(settings.var_dir / "photos", built, test_fraction=0)
    manifest = read_manifest(built / "dataset.json")
    assert manifest is not None
    with image_reads(built) as reads:
        job = api.post("/jobs", json={"dataset": "built"}).json()
        assert {path.name for path in reads.opens} == {"dataset.json"}
    assert {each["manifest"] for each in job["datasets"]} == {manifest.digest}
    record = api.get("/datasets/built").json()
    assert (record["findings"]["by"], record["checked_at"] is not None) == ("build", True)

    changed = sorted((built / "train_processed/vlr_images").iterdir())[0]
    Image.new("RGB", (16, 16), (200, 10, 10)).save(changed)
    (changed.parent / "added_01.png").write_bytes(changed.read_bytes())
    job = api.post("/jobs", json={"dataset": "built"}).json()
    assert {each["manifest"] for each in job["datasets"]} == {None}
    assert api.get("/datasets/built").json()["findings"] is None


@pytest.mark.postgresql
def test_requests_at_once_make_one_record_and_one_check(settings: Settings, database_url: str) -> None:
    at_once = 4
    elsewhere = settings.model_copy(update={"database_url": database_url})
    with TestClient(create_app(elsewhere)) as api, ThreadPoolExecutor(at_once) as pool:
        answers = list(pool.map(lambda _: api.post("/datasets", json={"dataset": "faces"}), range(at_once)))
        assert {answer.status_code for answer in answers} <= {200, 201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len({answer.json()["check"]["job"] for answer in answers}) == 1
        jobs = list(pool.map(lambda _: submit(api), range(at_once)))
        assert {job.status_code for job in jobs} == {201}
        assert [record["name"] for record in api.get("/datasets").json()["datasets"]] == ["faces"]
        assert api.delete("/datasets/faces").status_code == 200
        assert api.get("/datasets").json()["datasets"] == []
