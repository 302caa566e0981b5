"""Foreign host names and pages of other sites are refused, whatever they send."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings

LOCAL = ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]:8000", "[::1]", "LOCALHOST", "127.1.2.3:80"]
FOREIGN = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.7", ""]
BROKEN = ["localhost@evil.example", "[", "[::1", "a b", "localhost:8000:1", "localhost/", "127.0.0.1,evil.example"]
JOB = "0" * 24


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(var_dir=tmp_path_factory.mktemp("local"), allowed_hosts="")
    with TestClient(create_app(settings)) as client:
        yield client


def code(answer: object) -> tuple[int, str]:
    return answer.status_code, answer.json().get("code", "")  # type: ignore[attr-defined]


@pytest.mark.parametrize("host", LOCAL)
def test_on_loopback_the_loopback_names_are_answered(api: TestClient, host: str) -> None:
    assert api.get("/health/live", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", [*FOREIGN, *BROKEN])
@pytest.mark.parametrize("request_", ["GET /health/live", "GET /jobs", f"POST /jobs/{JOB}/cancel", "GET /nowhere"])
def test_on_loopback_other_names_are_refused(api: TestClient, host: str, request_: str) -> None:
    method, path = request_.split()
    assert code(api.request(method, path, headers={"Host": host})) == (421, "host_refused")


def test_names_of_the_setting_are_answered(settings: Settings) -> None:
    named = TestClient(create_app(settings.model_copy(update={"allowed_hosts": "faces.lab, gpu-box"})))
    assert named.get("/health/live", headers={"Host": "faces.lab:443"}).status_code == 200
    assert named.get("/health/live", headers={"Host": "gpu-box."}).status_code == 200
    assert named.get("/health/live", headers={"Host": "x.faces.lab"}).status_code == 421


def test_on_a_network_addresses_are_answered_and_names_are_not(settings: Settings) -> None:
    api = TestClient(create_app(settings.model_copy(update={"allowed_hosts": "", "host": "0.0.0.0"})))  # noqa: S104
    assert api.get("/health/live", headers={"Host": "192.168.1.7:8000"}).status_code == 200
    assert api.get("/health/live", headers={"Host": "[fe80::1]:8000"}).status_code == 200
    assert api.get("/health/live", headers={"Host": "evil.example"}).status_code == 421


UNSAFE = [
    ("POST", f"/jobs/{JOB}/cancel"),
    ("DELETE", "/datasets/x"),
    ("POST", "/jobs"),
    ("PATCH", "/jobs"),
    ("DELETE", "/session"),
]


@pytest.mark.parametrize(("method", "path"), UNSAFE)
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:9999"},
        {"Origin": "http://localhost:8000.evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:8000"},
    ],
)
def test_a_page_of_another_site_changes_nothing(
    api: TestClient, method: str, path: str, headers: dict[str, str]
) -> None:
    """Bodies of forms, and none at all, as a page can send them without asking."""
    for body in (None, b'{"dataset": "x"}'):
        answer = api.request(method, path, content=body, headers={"Host": "localhost:8000", **headers})
        assert code(answer) == (403, "cross_site_refused")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost:8000"},
        {"Origin": "http://localhost:8000", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_its_own_pages_and_programs_pass(api: TestClient, headers: dict[str, str]) -> None:
    answer = api.post(f"/jobs/{JOB}/cancel", headers={"Host": "localhost:8000", **headers})
    assert code(answer) == (404, "job_not_found")


def test_an_origin_without_its_default_port_is_the_same(settings: Settings) -> None:
    api = TestClient(create_app(settings.model_copy(update={"allowed_hosts": "faces.lab"})))
    with api:
        for host in ("faces.lab", "faces.lab:443"):
            answer = api.post(f"/jobs/{JOB}/cancel", headers={"Host": host, "Origin": "https://faces.lab"})
            assert answer.status_code == 404


def test_a_link_on_another_page_may_be_followed_but_nothing_embedded(api: TestClient) -> None:
    site = {"Host": "localhost", "Sec-Fetch-Site": "cross-site"}
    link = {**site, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    assert api.get("/health/live", headers=link).status_code == 200
    picture = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    frame = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    for embedded in (picture, frame, {}):
        assert code(api.get("/health/live", headers=site | embedded)) == (403, "cross_site_refused")


def test_a_refusal_says_what_to_do(api: TestClient) -> None:
    assert "EDGEFACE_ALLOWED_HOSTS" in api.get("/jobs", headers={"Host": "gpu-box"}).json()["hint"]
    refused = api.get("/jobs", headers={"Host": "localhost", "Origin": "https://lab.example"}).json()
    assert "EDGEFACE_CORS_ORIGINS" in refused["hint"]


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_json_is_taken_as_json_only(api: TestClient, content_type: str) -> None:
    headers = {"Host": "localhost", **({"Content-Type": content_type} if content_type else {})}
    answer = api.post("/jobs", content=b'{"dataset": "x"}', headers=headers)
    assert code(answer) == (422, "request_invalid")
    assert "Content-Type: application/json" in answer.json()["hint"]
