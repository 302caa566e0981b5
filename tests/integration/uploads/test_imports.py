"""An upload becomes a dataset: registered, checked and trained on as any other; nothing is left of what is refused."""

import io
import multiprocessing
import stat
import threading
import zipfile
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.database import Database
from app.drawn_faces import write_drawn_faces
from app.finetune.dataset_errors import DatasetNameTaken
from app.finetune.dataset_import_config import DatasetImportConfig
from app.finetune.errors import UnreadableImages
from app.finetune.events import DatasetImported, Stopped
from app.settings import Settings
from tests.integration.uploads.sending import begin, upload
from tests.support.datasets import write_dataset
from worker.dataset_import.files import DatasetImportFiles
from worker.dataset_import.run import import_dataset
from worker.kinds import WORKER_KINDS
from worker.supervisor import Supervisor
from worker.trainer_process import train
from worker.training.runtime.control import Control


def zipped(folder: Path, within: str = "") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, within + path.relative_to(folder).as_posix())
    return file.getvalue()


def photos(folder: Path, subjects: int = 4) -> Path:
    write_drawn_faces(folder, subjects=subjects, images_per_subject=2, seed=1)
    return folder


def with_position(path: Path) -> None:
    """Write where and by which camera the photo was taken into the file."""
    exif = Image.Exif()
    exif[0x010F], exif[0xA431] = "Camera & Sons", "SERIAL-4711"
    exif.get_ifd(0x8825)[2] = (51.0, 30.0, 0.0)
    with Image.open(path) as image:
        image.convert("RGB").save(path.with_suffix(".jpg"), exif=exif, comment=b"SERIAL-4711", quality=95)
    path.unlink()


def files(tmp_path: Path, content: bytes, name: str = "office") -> DatasetImportFiles:
    (tmp_path / "upload").write_bytes(content)
    return DatasetImportFiles(
        archive=tmp_path / "upload",
        archive_name="faces.zip",
        target=tmp_path / "datasets" / name,
        quarantine=tmp_path / "quarantine",
        most_bytes=10**9,
        output_dir=tmp_path / "job" / "attempt-1",
        job="0" * 24,
    )


def config(**options: Any) -> DatasetImportConfig:
    return DatasetImportConfig.model_validate({"name": "office", "upload": "0" * 24, "options": options})


def left_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_photos_become_a_dataset_without_what_their_files_tell(tmp_path: Path) -> None:
    folder = photos(tmp_path / "photos")
    for path in sorted(folder.rglob("*.png")):
        with_position(path)
    prepared = files(tmp_path, zipped(folder, "faces/"))
    imported = import_dataset(config(vlr_size=12, val_fraction=0.5, test_fraction=0), prepared, lambda _: None)
    assert isinstance(imported, DatasetImported)
    assert (imported.images, imported.subject_pattern) == (8, "guide")
    assert {part: bool(each.summary) for part, each in imported.listing.parts.items()} == {
        "train_processed": True,
        "val_processed": True,
    }
    vlr = next(prepared.target.glob("train_processed/vlr_images/*.png"))
    with Image.open(vlr) as image:
        assert image.size == (12, 12)
    everything = b"".join(path.read_bytes() for path in prepared.target.rglob("*") if path.is_file())
    assert b"4711" not in everything
    assert b"Camera" not in everything
    assert str(tmp_path).encode() not in everything
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in prepared.target.parent.iterdir()} == {0}
    assert left_in(prepared.quarantine) == []


def test_a_dataset_stays_what_it_is_to_the_pixel(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "given")
    with_position(folder / "train_processed" / "hr_images" / "000_00.png")
    expected = {path.relative_to(folder).with_suffix(".png"): pixels(path) for path in folder.rglob("*.[pj]*g")}
    prepared = files(tmp_path, zipped(folder))
    assert isinstance(import_dataset(config(), prepared, lambda _: None), DatasetImported)
    found = {path.relative_to(prepared.target): pixels(path) for path in prepared.target.rglob("*.png")}
    assert found == expected
    assert b"4711" not in b"".join(path.read_bytes() for path in prepared.target.rglob("*.png"))


def pixels(path: Path) -> bytes:
    with Image.open(path) as image:
        return image.convert("RGB").tobytes()


def test_an_attempt_after_a_lost_one_finds_what_that_published(tmp_path: Path) -> None:
    prepared = files(tmp_path, zipped(write_dataset(tmp_path / "given")))
    first = import_dataset(config(), prepared, lambda _: None)
    again = import_dataset(config(), prepared, lambda _: None)
    assert isinstance(first, DatasetImported)
    assert isinstance(again, DatasetImported)
    assert (again.sha256, again.images, again.bytes) == (first.sha256, first.images, first.bytes)


def test_nothing_is_left_of_a_refused_or_a_cancelled_upload(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "given")
    (folder / "val_processed" / "vlr_images" / "000_00.png").write_bytes(b"no image")
    prepared = files(tmp_path, zipped(folder))
    with pytest.raises(UnreadableImages, match=r"\(?val_processed/vlr_images/000_00\.png") as raised:
        import_dataset(config(), prepared, lambda _: None)
    assert str(tmp_path) not in str(raised.value)
    cancelled = Control(stop=threading.Event())
    cancelled.stop.set()
    assert import_dataset(config(), prepared, lambda _: None, cancelled) == Stopped()
    assert not prepared.target.exists()
    assert left_in(prepared.quarantine) == []


def test_no_dataset_is_replaced(tmp_path: Path) -> None:
    prepared = files(tmp_path, zipped(write_dataset(tmp_path / "given")))
    prepared.target.mkdir(parents=True)
    (prepared.target / "mine.txt").write_text("mine")
    with pytest.raises(DatasetNameTaken):
        import_dataset(config(), prepared, lambda _: None)
    assert left_in(prepared.target) == ["mine.txt"]


def test_names_are_taken_in_both_roots_and_are_names(api: TestClient, settings: Settings) -> None:
    (settings.datasets_dir / "mine").mkdir()
    sent = upload(api, b"no archive")
    taken = api.post("/datasets", json={"name": "mine", "upload": sent})
    assert (taken.status_code, taken.json()["code"]) == (409, "dataset_name_taken")
    for name in ("../x", "a/b", ".hidden", "a\0b", "", "x" * 300, "con\n", "a."):
        refused = api.post("/datasets", json={"name": name, "upload": sent})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "name")
    unknown = api.post("/datasets", json={"name": "new", "upload": "0" * 24})
    assert (unknown.status_code, unknown.json()["code"]) == (404, "upload_not_found")
    unfinished = api.post("/datasets", json={"name": "new", "upload": begin(api, 5).rpartition("/")[2]})
    assert (unfinished.status_code, unfinished.json()["code"]) == (409, "upload_unfinished")
    wrong = api.post("/datasets", json={"name": "new", "upload": sent, "options": {"vlr_size": 3}})
    assert [each["field"] for each in wrong.json()["errors"]] == ["options.vlr_size"]


def test_a_waiting_job_keeps_its_upload(api: TestClient) -> None:
    sent = upload(api, b"no archive")
    job = api.post("/datasets", json={"name": "new", "upload": sent}).json()
    refused = api.delete(f"/uploads/{sent}")
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_in_use")
    api.post(f"/jobs/{job['id']}/cancel")
    assert api.delete(f"/uploads/{sent}").status_code == 204


@pytest.mark.slow
def test_an_upload_becomes_a_dataset_that_is_registered_and_checked(
    api: TestClient, settings: Settings, tmp_path: Path
) -> None:
    sent = upload(api, zipped(photos(tmp_path / "photos", 6)))
    answer = api.post("/datasets", json={"name": "office", "upload": sent, "options": {"test_fraction": 0}})
    assert answer.status_code == 201, answer.text
    database, processes = Database(settings.database_url), multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["worker.trainer_process", *(kind.module for kind in WORKER_KINDS.values())])
    Supervisor(database, settings, processes, train).run_waiting_jobs()
    database.close()
    job = api.get(answer.headers["location"]).json()
    assert (job["status"], job["error"], job["kind"]) == ("succeeded", None, "dataset_import")
    record = api.get("/datasets/office").json()
    assert record["fresh"]
    assert record["check"]["status"] == "succeeded"
    assert "office" in api.get("/datasets").json()["names"]
    uploads = api.get("/uploads").json()
    assert uploads["uploads"] == []
    assert 0 < uploads["used_bytes"] < 10**7
    write_weights = settings.weights_dir / "edgeface_xxs.pt"
    assert not write_weights.exists()
    trained = api.post("/jobs?dry_run=true", json={"dataset": "office"})
    assert trained.json()["code"] == "weights_not_found"  # the dataset was found
    assert str(settings.var_dir) not in api.get("/datasets").text + api.get("/datasets/office").text
