"""A person at the forms: a zip becomes a dataset over a lost connection, and a job on it is checked and sent."""

import re
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.system.conftest import Machine

pytestmark = pytest.mark.slow

REFUSED = "Failed to load resource"
"""Chromium's note in the console about each answer that is an error, such as that of a dry run."""


def _zip_of_people(dataset: Path, file: Path) -> Path:
    """The HR faces of train and val, one folder a person."""
    with zipfile.ZipFile(file, "w") as archive:
        for part in ("train_processed", "val_processed"):
            for face in sorted((dataset / part / "hr_images").iterdir()):
                archive.write(face, f"{face.stem.split('_')[0]}/{part}_{face.name}")
    return file


def test_a_zip_becomes_a_dataset_over_a_lost_connection_and_is_trained_on(
    service: Machine, visit: Visit, drawn_inputs: Path, tmp_path: Path
) -> None:
    service.start("serve")
    service.wait_until_ready()
    tab = visit(service.url)
    tab.tolerated = REFUSED
    page = tab.open("/ui/datasets")
    tab.check_access()

    lost: list[str] = []

    def lose(route: Route) -> None:
        if route.request.method == "PATCH" and len(lost) < 2:
            lost.append(route.request.url)
            route.abort()
        else:
            route.continue_()

    page.route(re.compile("/uploads/"), lose)
    faces = _zip_of_people(drawn_inputs / "datasets" / "drawn", tmp_path / "office photos.zip")
    page.set_input_files("#file", faces)
    expect(page.locator("#dataset-name")).to_have_value("office-photos")
    page.click("#options summary")
    page.select_option("#align", "false")
    page.fill("#val_fraction", "7")
    page.get_by_role("button", name="Upload and build").click()
    expect(page.locator("#val_fraction-e")).to_contain_text("Must be below 1, not 7")
    expect(page.locator("#val_fraction")).to_have_attribute("aria-invalid", "true")
    assert len(lost) == 2
    page.fill("#val_fraction", "0.3")
    page.get_by_role("button", name="Upload and build").click()
    page.wait_for_url("**/ui/datasets/office-photos", timeout=120_000)
    expect(page.locator(".now")).to_contain_text("Ready to train on.", timeout=120_000)
    tab.check_access()

    page.get_by_role("link", name="Train on it").click()
    expect(page.locator("#dataset")).to_have_value("office-photos")
    page.fill("#stage1_epochs", "0")
    page.fill("#stage2_epochs", "2000")
    problem = page.locator("#check").get_by_role("link", name="Epochs, stage 2")
    expect(problem).to_be_visible()
    expect(page.locator("#stage2_epochs-e")).to_have_text("Must be at most 1000, not 2000.")
    tab.check_access()
    problem.press("Enter")
    expect(page.locator("#stage2_epochs")).to_be_focused()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("1")
    expect(page.locator("#stage2_epochs-e")).to_be_hidden()
    page.fill("#job-name", "from the form")
    page.fill("#job-tags", "a, b")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_url(re.compile("/ui/jobs/[0-9a-f]{24}$"))
    with service.client() as client:
        job = client.get(page.url.rsplit("/", 1)[1])
    assert (job.name, job.tags) == ("from the form", ["a", "b"])
    assert job.config.model_dump(include={"dataset", "stage1_epochs", "stage2_epochs"}) == {
        "dataset": "office-photos",
        "stage1_epochs": 0,
        "stage2_epochs": 1,
    }
