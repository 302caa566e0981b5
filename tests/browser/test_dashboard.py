"""A person at the dashboard: a job watched live over a restart of the API, buttons, comparison, log in and out."""

import json
import re
import signal

import pytest
from playwright.sync_api import Page, expect

from app.api_models.job import JobView
from app.jobs.states import JobStatus
from tests.browser.conftest import SIZES, Visit, Visitor
from tests.system.conftest import Machine, wait_until

pytestmark = pytest.mark.slow

SHORT = {"dataset": "drawn", "stage1_epochs": 1, "stage2_epochs": 3, "num_workers": 0}
LONG = SHORT | {"stage2_epochs": 400, "early_stop_patience": 0}


def submit(machine: Machine, config: dict[str, object], name: str) -> str:
    with machine.client() as client:
        return client.submit(config, name=name).id


def job(machine: Machine, job_id: str) -> JobView:
    with machine.client() as client:
        return client.get(job_id)


def curves(page: Page) -> dict[str, list[object]]:
    """The points that the page draws."""
    found: dict[str, list[object]] = json.loads(page.locator("#curves").get_attribute("data-curves") or "{}")
    return found


def test_a_job_is_watched_live_over_a_restart_of_the_api(service: Machine, visit: Visit) -> None:
    api = service.start("api")
    service.start("worker")
    service.wait_until_ready()
    job_id = submit(service, LONG, "watched")
    tab = visit(service.url)
    tab.tolerated = "ERR_CONNECTION|ERR_INCOMPLETE|ERR_EMPTY|Failed to load resource"  # while the API is away
    page = tab.open(f"/ui/jobs/{job_id}")
    expect(page.locator("#now")).to_contain_text("Training, stage 2 of 2", timeout=120_000)
    page.evaluate("window.stays = true")  # the page itself is never loaded again

    api.send_signal(signal.SIGKILL)
    api.wait()
    service.processes.remove(api)
    expect(page.locator("#offline")).to_be_visible()
    expect(page.locator("#offline")).to_contain_text("Reconnecting")
    service.start("api")
    expect(page.locator("#offline")).to_be_hidden(timeout=120_000)

    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#title")).to_contain_text("Cancelled")
    expect(page.get_by_role("button", name="Retry", exact=True)).to_be_visible()
    with service.client() as client:
        trained = [(epoch.stage, epoch.epoch) for epoch in client.metrics(job_id).epochs]
    wait_until(lambda: len(curves(page)["places"]) == len(trained), 60.0)
    assert curves(page)["names"] == [f"stage {stage}, epoch {epoch}" for stage, epoch in trained]
    assert page.evaluate("window.stays")


def test_buttons_change_the_job_and_the_page_shows_it(service: Machine, visit: Visit) -> None:
    service.start("serve")
    service.wait_until_ready()
    job_id = submit(service, LONG, "pushed")
    tab = visit(service.url, size="narrow")
    page = tab.open(f"/ui/jobs/{job_id}")
    expect(page.locator("#now")).to_contain_text("Training", timeout=120_000)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#title")).to_contain_text("Paused")
    expect(page.locator("#now")).to_contain_text("It goes on at")
    page.locator("#labels-fold > summary").click()
    page.get_by_label("Name", exact=True).fill("renamed")
    page.get_by_label("Tags").fill("night, keep")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#title")).to_contain_text("renamed")
    expect(page.locator("#title .tag")).to_have_text(["night", "keep"])
    expect(page.locator("#log")).to_contain_text("stage 2")
    tab.check_access()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#title")).to_contain_text("Cancelled")
    assert job(service, job_id).status is JobStatus.CANCELLED


def test_finished_jobs_are_listed_read_and_compared(service: Machine, visit: Visit) -> None:
    service.start("serve")
    service.wait_until_ready()
    ids = [submit(service, SHORT | {"backbone_lr": rate}, f"rate {rate}") for rate in (1e-4, 3e-4)]
    tab = visit(service.url)
    page = tab.open("/")
    for job_id in ids:  # the list renews itself
        expect(page.locator(f"#job-{job_id}")).to_contain_text("Succeeded", timeout=240_000)
        page.get_by_label(f"Choose {job(service, job_id).name}").check()
    check_everywhere(visit, service, "/")
    page.get_by_role("button", name="Compare 2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Compare 2 jobs")
    expect(page.locator(".cmp")).to_contain_text("backbone_lr")
    check_everywhere(visit, service, page.url.removeprefix(service.url))
    with page.expect_download() as table:
        page.get_by_role("link", name="CSV").click()
    assert table.value.path().read_text().splitlines()[1] == ",".join(["id", *reversed(ids)])  # the newest first

    page.get_by_role("link", name="rate 0.0001").click()
    read_a_result(page, ids[0], service)
    check_everywhere(visit, service, f"/ui/jobs/{ids[0]}")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_label("More actions").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(f"#job-{ids[1]}")).to_be_visible()  # the list of those that are left
    expect(page.locator(f"#job-{ids[0]}")).to_have_count(0)
    page.get_by_label("Search by name").fill("nothing")
    expect(page.locator("#rows")).to_contain_text("No job matches.")
    page.get_by_label("Search by name").fill("0.0003")
    expect(page.locator(f"#job-{ids[1]}")).to_be_visible()
    assert "q=0.0003" in page.url


def read_a_result(page: Page, job_id: str, service: Machine) -> None:
    """The curve by keyboard, the report in its frame, the file."""
    chart = page.locator('[data-plot="score"]')
    expect(chart).to_have_attribute("aria-label", re.compile(r"^Score by epoch\..*Best score [01]\.\d{4} at stage 2"))
    chart.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator('[data-readout="score"]')).to_have_text(re.compile(r"^stage 1, epoch 1: [01]\.\d{4}$"))
    page.locator("#report-fold > summary").click()
    expect(page.frame_locator("iframe.report").locator("h1").first).to_be_visible()
    with page.expect_download() as model:
        page.get_by_role("link", name="Download model").click()
    found = job(service, job_id).checkpoint
    assert found is not None
    assert model.value.path().stat().st_size == found.full.size


def check_everywhere(visit: Visit, service: Machine, address: str) -> None:
    """axe-core and the width, in both themes at both sizes."""
    for size in SIZES:
        for dark in (False, True):
            tab: Visitor = visit(service.url, size=size, dark=dark)
            page = tab.open(address)
            page.wait_for_load_state("load")
            page.evaluate("for (const fold of document.querySelectorAll('details.fold')) fold.open = true")
            tab.check_access()


def test_a_browser_logs_in_acts_and_logs_out(service: Machine, visit: Visit) -> None:
    key = service.run("keys", "create", "anna", "--scope", "submit").stdout
    secret = next(word for word in key.split() if word.startswith("eff_"))
    service.environment["EDGEFACE_KEY"] = secret
    service.start("api")
    tab = visit(service.url)
    wait_until(lambda: "Uvicorn running" in service.log(), 90.0, service.log)
    tab.tolerated = "401"  # the answer to a wrong key
    page = tab.open("/?tab=active")
    page.get_by_label("API key").fill("eff_wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("#key-problem")).to_contain_text("unknown, expired or revoked")
    tab.check_access()
    page.get_by_label("API key").fill(secret)
    page.get_by_role("button", name="Log in").click()
    expect(page).to_have_url(f"{service.url}/?tab=active")
    service.run("submit", "--set", "dataset=drawn", "--name", "mine")
    expect(page.get_by_role("link", name="mine")).to_be_visible()
    page.get_by_role("link", name="mine").click()
    page.get_by_role("button", name="Cancel").click()  # with the token of the session
    expect(page.locator("#title")).to_contain_text("Cancelled")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    assert page.context.cookies() == []
