"""The pages of datasets, and the picture of their faces."""

import io
import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from app.access.scopes import Scope
from app.database import Database
from app.datasets.records import find_by_name
from app.finetune.alignment_distance import AlignmentDistance
from app.finetune.dataset_findings import DatasetFindings, PartWarning
from app.settings import Settings
from tests.integration.pages.conftest import Visit
from tests.integration.pages.test_jobs_page import INLINE
from tests.support.access import bearer, key_of
from tests.support.datasets import write_dataset


@pytest.fixture
def office(api: TestClient, settings: Settings) -> str:
    """The id of the record of the dataset `office`, of eight people to measure on."""
    write_dataset(settings.datasets_dir / "office", train_subjects=3, val_subjects=8)
    answer = api.post("/datasets", json={"dataset": "office"})
    assert answer.status_code == 201
    return str(answer.json()["id"])


def _pixels(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGB")


def _picture(page: str) -> str:
    found = re.search(r'<image href="([^"]*)"', page)
    assert found is not None
    return found[1].replace("&amp;", "&")


def test_a_dataset_has_its_parts_and_what_stands_in_the_way(visit: Visit, office: str, database: Database) -> None:
    page = visit("/ui/datasets/office").text
    assert "16 photos" not in page  # of val alone; train has 6
    assert "22 photos of 11 people" in page
    assert "Its images are being checked." in page
    assert "Without a test part" in page
    assert not INLINE.findall(page)
    with database.writing() as session:
        record = find_by_name(session, "office")
        assert record is not None
        record.findings = DatasetFindings(
            by="check",
            images=44,
            warnings=[PartWarning(code="few_subjects", message="val has <few> people", part=None)],
            alignment=AlignmentDistance(images=22, measured=20, median=0.34, percentile_95=0.6, limit=2.0),
        )
    page = visit(f"/ui/datasets/{office}").text
    assert "Ready to train on." in page
    assert "Val has &lt;few&gt; people." in page
    assert "0.3 px off the template (median of 20 faces); 95 of 100 within 0.6 px" in page


@pytest.mark.usefixtures("office")
def test_the_list_has_folders_without_a_record_too(visit: Visit, settings: Settings) -> None:
    write_dataset(settings.datasets_dir / "fresh")
    page = visit("/ui/datasets").text
    assert 'href="/ui/datasets/office"' in page
    assert 'data-registers="fresh"' in page
    assert not INLINE.findall(page)


@pytest.mark.usefixtures("office")
def test_a_picture_has_the_faces_of_six_people(visit: Visit) -> None:
    page = visit("/ui/datasets/office").text
    assert re.findall(r'class="who">(\w+)<', page) == [f"{number:03}" for number in range(6)]
    answer = visit(_picture(page))
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, max-age=3600")
    sheet = _pixels(answer.content)
    assert sheet.size == (6 * 112, 3 * 112)
    for column in range(6):  # as tests/support/datasets.py draws val
        shade = (40 * column, 200 - 20 * column, 15)
        assert [sheet.getpixel((112 * column + 56, 112 * row + 56)) for row in range(3)] == [shade] * 3
    assert visit(_picture(page), **{"If-None-Match": answer.headers["etag"]}).status_code == 304
    second = visit("/ui/datasets/office?page=2").text
    assert re.findall(r'class="who">(\w+)<', second) == ["006", "007"]
    assert _pixels(visit(_picture(second)).content).size == (2 * 112, 3 * 112)


@pytest.mark.usefixtures("office")
def test_a_picture_is_drawn_anew_when_a_face_is_written(visit: Visit, settings: Settings) -> None:
    before = _picture(visit("/ui/datasets/office").text)
    assert visit(before).status_code == 200
    face = settings.datasets_dir / "office/val_processed/hr_images/000_00.png"
    face.write_bytes(b"no picture")
    after = _picture(visit("/ui/datasets/office").text)
    assert after != before
    sheet = _pixels(visit(after).content)
    assert sheet.getpixel((56, 2 * 112 + 56)) == (128, 128, 128)
    assert sheet.getpixel((56, 56)) == (0, 200, 15)


@pytest.mark.usefixtures("office")
def test_a_picture_shows_nothing_from_outside_the_datasets(visit: Visit, settings: Settings, tmp_path: Path) -> None:
    assert visit(_picture(visit("/ui/datasets/office").text)).status_code == 200
    secret = tmp_path / "secret.png"
    Image.new("RGB", (112, 112), (255, 0, 0)).save(secret)
    face = settings.datasets_dir / "office/val_processed/hr_images/000_00.png"
    face.unlink()
    face.symlink_to(secret)
    sheet = _pixels(visit(_picture(visit("/ui/datasets/office").text)).content)
    assert sheet.getpixel((56, 2 * 112 + 56)) == (128, 128, 128)


def test_a_reader_sees_what_is_shared_and_nothing_to_change(visit: Visit, office: str, database: Database) -> None:
    reader = bearer(key_of(database, "reader", Scope.READ))
    owner = bearer(key_of(database, "admin", Scope.ADMIN))
    assert "Check again" in visit("/ui/datasets/office", **owner).text
    for hidden in ("/ui/datasets/office", f"/ui/faces/{office}"):
        assert visit(hidden, **reader).status_code == 404
    assert "office" not in visit("/ui/datasets", **reader).text
    with database.writing() as session:
        record = find_by_name(session, "office")
        assert record is not None
        record.shared = True
    page = visit("/ui/datasets/office", **reader).text
    assert "Check again" not in page
    assert "Train on it" not in page
    assert visit(_picture(page), **reader).status_code == 200
    assert 'id="import"' not in visit("/ui/datasets", **reader).text


def test_a_dataset_that_is_not_there_is_explained_on_a_page(visit: Visit) -> None:
    answer = visit("/ui/datasets/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert visit(f"/ui/faces/{'0' * 24}").status_code == 404
