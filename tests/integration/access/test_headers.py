"""Headers of security on every answer, and policies of the pages that have styles or scripts."""

import base64
import hashlib
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.access.headers import SECURITY_HEADERS
from app.database import Database
from app.guard.content_policy import report_policy
from app.guard.route_scopes import SCOPES
from app.main import create_app
from app.settings import Settings
from tests.support.job_files import JobFiles

NO_JOB = "0" * 24
PATHS = [name.split() for name in SCOPES if name != "GET /static-offline-docs"]
REPORT = b"<html><style>h1 { color: red }</style><h1>x</h1><svg><path stroke='red'/></svg></html>"


def sha256(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


OTHERS = [("GET", "/nowhere"), ("PUT", "/jobs"), ("GET", "/static-offline-docs/swagger-ui.css")]


@pytest.mark.parametrize("headers", [{}, {"Host": "evil.example"}, {"Origin": "https://evil.example"}])
def test_every_answer_has_the_headers(shared_api: TestClient, headers: dict[str, str]) -> None:
    for method, path in [*PATHS, *OTHERS]:
        answer = shared_api.request(method, re.sub(r"\{\w+\}", NO_JOB, path), headers=headers)
        for name, value in SECURITY_HEADERS.items():
            assert name in answer.headers, f"{method} {path}: {name}"
            if name == "Referrer-Policy":
                assert answer.headers[name] in ("no-referrer", "same-origin")
            elif name not in ("Content-Security-Policy", "Cache-Control"):
                assert answer.headers[name] == value


def test_an_unexpected_error_has_the_headers(application: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("app.routes.inputs.list_weights", fail)
    with TestClient(application, raise_server_exceptions=False) as api:
        answer = api.get("/weights")
    assert answer.status_code == 500
    assert SECURITY_HEADERS.items() <= {name: answer.headers.get(name) for name in SECURITY_HEADERS}.items()


def test_json_allows_a_browser_nothing(shared_api: TestClient) -> None:
    assert shared_api.get("/jobs").headers["content-security-policy"].startswith("default-src 'none';")
    assert shared_api.get("/jobs").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/docs/oauth2-redirect"])
def test_the_scripts_of_the_docs_run_by_their_hashes(shared_api: TestClient, path: str) -> None:
    answer = shared_api.get(path)
    policy = answer.headers["content-security-policy"]
    scripts = re.findall(r"<script>(.*?)</script>", answer.text, re.DOTALL)
    assert len(scripts) == (0 if path == "/redoc" else 1)
    (allowed,) = re.findall("script-src ([^;]*);", policy)
    assert "unsafe-inline" not in allowed
    assert all(sha256(script) in allowed for script in scripts)
    assert " onload=" not in answer.text
    assert not re.findall(r'(?:src|href)="https?:', answer.text), "the docs need nothing from other sites"


def test_a_report_shows_its_own_styles_by_their_hash_and_in_a_sandbox(
    api: TestClient, database: Database, settings: Settings
) -> None:
    job = JobFiles(database, settings.artifacts_dir)
    job.evaluation(1)
    answer = api.get(f"/jobs/{job.id}/report")
    policy = answer.headers["content-security-policy"]
    (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL) or [""]
    assert sha256(style) in policy if style else "style-src 'none'" in policy
    assert policy.endswith("; sandbox")
    assert answer.headers["x-frame-options"] == "SAMEORIGIN"
    again = api.get(f"/jobs/{job.id}/report", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert "content-security-policy" not in again.headers, "a browser would use it for the page that it keeps"


def test_a_policy_allows_the_styles_of_a_page_alone() -> None:
    policy = report_policy(REPORT)
    assert f"style-src {sha256('h1 { color: red }')};" in policy
    assert "script-src" not in policy
    assert "unsafe-inline" not in policy


def test_a_report_of_version_0_2_keeps_its_colours() -> None:
    assert "style-src 'unsafe-inline'" in report_policy(REPORT.replace(b"<h1>", b'<i style="color:red"></i><h1>'))


def test_other_sites_read_nothing_unless_they_are_named(settings: Settings) -> None:
    lab = {"Origin": "https://lab.example"}
    preflight = {**lab, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with TestClient(create_app(settings)) as closed:
        assert closed.get("/jobs", headers=lab).status_code == 403
        assert "access-control-allow-origin" not in closed.options("/jobs", headers=preflight).headers
    with TestClient(create_app(settings.model_copy(update={"cors_origins": "https://lab.example"}))) as opened:
        answer = opened.get("/jobs", headers=lab)
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://lab.example")
        assert "access-control-allow-credentials" not in answer.headers
        assert opened.options("/jobs", headers=preflight).status_code == 200
        assert opened.get("/jobs", headers={"Origin": "https://other.example"}).status_code == 403
