"""The dashboard in Debian's Chromium, on a real service with real processes."""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from tests.support.chromium import CHROMIUM, FLAGS
from tests.system.conftest import Machine
from tests.system.conftest import drawn_inputs as drawn_inputs
from tests.system.conftest import embedded as embedded

expect.set_options(timeout=60_000)  # a wait for what happens, on machines of any speed
SIZES = {"wide": (1280, 900), "narrow": (375, 800)}


@dataclass
class Visitor:
    """A tab of the browser, and what went wrong in it. `tolerated`: the console may say this."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    tolerated: str = ""

    def open(self, address: str) -> Page:
        self.page.goto(self.url + address)
        return self.page

    def check(self) -> None:
        """Assert that the console is free of errors, and that no other host was asked."""
        left = [each for each in self.complaints if not (self.tolerated and re.search(self.tolerated, each))]
        assert not left, left

    def check_access(self) -> None:
        """Assert that axe-core finds nothing serious on the page, and that nothing is wider than the screen."""
        # A report's frame is a sandbox without scripts, in which axe cannot run.
        options = {"resultTypes": ["violations"], "iframes": False}
        found = Axe().run(self.page, options=options).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        told = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in serious]
        assert not told, told
        assert self.page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    def note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def note_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob") and parts.netloc != urlsplit(self.url).netloc:
            self.complaints.append(f"request: {request.url}")


Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for one module: beside Playwright's event loop no other test could run one of its own. Without Chromium
    a test is skipped by name; under CI=true it fails."""
    if not CHROMIUM.is_file():
        missing = f"no {CHROMIUM}: apt-get install chromium, or set EDGEFACE_TEST_CHROMIUM"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open tabs on a service; at the end, assert that nothing went wrong in them."""
    visitors = []
    with contextlib.ExitStack() as stack:

        def open_tab(url: str, *, size: str = "wide", dark: bool = False) -> Visitor:
            width, height = SIZES[size]
            context = browser.new_context(
                viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
            )
            stack.callback(context.close)
            context.set_default_timeout(60_000)
            visitor = Visitor(context.new_page(), url)
            visitor.page.on("console", visitor.note_console)
            visitor.page.on("pageerror", lambda error: visitor.complaints.append(f"error: {error}"))
            visitor.page.on("request", visitor.note_request)
            visitors.append(visitor)
            return visitor

        yield open_tab
        for visitor in visitors:
            visitor.check()


@pytest.fixture
def service(embedded: Machine, drawn_inputs: Path) -> Machine:
    """A service with drawn faces and untrained weights, in which nothing runs yet."""
    for folder in ("weights", "datasets"):
        shutil.copytree(drawn_inputs / folder, embedded.var_dir / folder)
    return embedded
