"""Each request has an id and one line in the log; a problem has the id too."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.request_log import REQUEST_ID_HEADER
from app.settings import Settings


def fails() -> None:
    raise ZeroDivisionError


@pytest.fixture
def api(var_dir: Path) -> Iterator[TestClient]:
    app = create_app(Settings(var_dir=var_dir))
    app.get("/fails")(fails)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def requests_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "app.request_log"]


def test_a_plain_id_is_kept_and_any_other_replaced(api: TestClient) -> None:
    assert (
        api.get("/jobs", headers={REQUEST_ID_HEADER: "from-Caddy.12_3"}).headers[REQUEST_ID_HEADER] == "from-Caddy.12_3"
    )
    made = {
        api.get("/jobs", headers=headers).headers[REQUEST_ID_HEADER]
        for headers in ({}, {REQUEST_ID_HEADER: "a b"}, {REQUEST_ID_HEADER: "x" * 65}, {REQUEST_ID_HEADER: "<script>"})
    }
    assert len(made) == 4
    assert all(len(each) == 16 for each in made)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/jobs/unknown", 404, "job_not_found"), ("/no/such", 404, "not_found"), ("/fails", 500, "internal_error")],
)
def test_a_problem_names_the_request_of_its_line(
    api: TestClient, caplog: pytest.LogCaptureFixture, path: str, status: int, code: str
) -> None:
    caplog.set_level(logging.INFO, "app.request_log")
    answer = api.get(path, headers={REQUEST_ID_HEADER: "mine"})
    assert answer.status_code == status
    assert answer.json()["request_id"] == answer.headers[REQUEST_ID_HEADER] == "mine"
    (line,) = requests_in(caplog)
    assert line.getMessage().startswith(f"GET {path} {status} in ")
    assert vars(line)["code"] == code
    assert vars(line)["status"] == status


def test_a_path_cannot_forge_a_line_and_a_query_is_not_logged(
    api: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request_log")
    api.get("/jobs/a%0Ab%1b?token=secret")
    api.get("/jobs/" + "x" * 5000)
    api.head("/jobs")
    first, second, third = (line.getMessage() for line in requests_in(caplog))
    assert first.startswith("GET /jobs/a%0Ab%1B 404 in ")
    assert len(second) < 250
    assert third.startswith("HEAD /jobs 200 in ")


def test_what_machines_ask_every_few_seconds_is_logged_only_if_it_fails(
    api: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.request_log")
    assert api.get("/health/live").status_code == api.get("/metrics").status_code == 200
    assert api.get("/health/ready").status_code == 503
    assert [line.getMessage().split()[1] for line in requests_in(caplog)] == ["/health/ready"]
