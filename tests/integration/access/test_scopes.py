"""Every route has a scope, which it asks for and the API's description names."""

import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.access.scopes import Scope, with_included
from app.guard.route_scopes import OPEN, SCOPES, RouteScopes, route_names
from app.jobs.transitions.rounds import report_worker
from tests.integration.access.conftest import database_of
from tests.support.access import bearer, key_of

NO_JOB = "0" * 24


@pytest.fixture(scope="module")
def api(shared_api: TestClient) -> TestClient:
    return shared_api


@pytest.fixture(scope="module")
def keys(shared_api: TestClient) -> dict[Scope, str]:
    """A key with each scope alone."""
    return {scope: key_of(database_of(shared_api.app), f"only-{scope}", scope) for scope in Scope}


def requests() -> list[tuple[str, str, Scope | None]]:
    """A request for each route of the table, of things that do not exist."""
    found = []
    for name, scope in SCOPES.items():
        method, path = name.split()
        of_folder = "/swagger-ui.css" if path == "/static-offline-docs" else ""
        found.append((method, re.sub(r"\{\w+\}", NO_JOB, path) + of_folder, scope))
    return found


def test_the_table_names_every_route_and_no_other(application: FastAPI) -> None:
    assert sorted(route_names(application.routes)) == sorted(SCOPES)


def test_a_route_that_is_not_in_the_table_needs_an_admin(application: FastAPI) -> None:
    @application.get("/forgotten")
    def forgotten() -> None: ...

    assert RouteScopes(application.routes).of("GET", "/forgotten") is Scope.ADMIN


@pytest.mark.parametrize(("method", "path", "scope"), requests())
def test_a_route_asks_for_its_scope(
    api: TestClient, keys: dict[Scope, str], method: str, path: str, scope: Scope | None
) -> None:
    stranger = api.request(method, path)
    if scope is OPEN:
        assert stranger.status_code not in (401, 403), stranger.text
        return
    assert (stranger.status_code, stranger.json()["code"]) == (401, "key_missing")
    assert stranger.headers["www-authenticate"] == "Bearer"
    for granted, key in keys.items():
        answer = api.request(method, path, headers=bearer(key))
        if scope in with_included([granted]):
            assert answer.status_code not in (401, 403), answer.text
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
            assert answer.headers["www-authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'


def test_head_needs_the_scope_of_get(api: TestClient, keys: dict[Scope, str]) -> None:
    assert keys
    assert api.head("/jobs").status_code == 401


def test_a_path_without_a_route_tells_a_stranger_nothing(api: TestClient, keys: dict[Scope, str]) -> None:
    assert api.get("/nowhere").status_code == 401
    assert api.get("/nowhere", headers=bearer(keys[Scope.READ])).status_code == 404


def test_a_refused_body_is_not_read(api: TestClient, keys: dict[Scope, str]) -> None:
    assert keys
    answer = api.post("/jobs", content=b"{broken", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


def test_the_description_names_the_scope_of_every_operation(api: TestClient) -> None:
    description = api.get("/openapi.json").json()
    assert description["components"]["securitySchemes"].keys() == {"key", "session"}
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            scope = SCOPES[f"{method.upper()} {path}"]
            assert operation.get("security", []) == ([] if scope is OPEN else [{"key": [scope]}, {"session": [scope]}])
            assert "4XX" in operation["responses"], f"{method} {path}"


def test_the_workers_are_told_to_readers_only(api: TestClient, keys: dict[Scope, str]) -> None:
    with database_of(api.app).writing() as session:
        report_worker(session, "worker-1", "gpu-box")
    assert api.get("/health/ready").json()["workers"] == []
    (worker,) = api.get("/health/ready", headers=bearer(keys[Scope.READ])).json()["workers"]
    assert worker["hostname"] == "gpu-box"


def test_submit_and_data_include_read_and_admin_all() -> None:
    assert with_included([Scope.SUBMIT]) == {Scope.SUBMIT, Scope.READ}
    assert with_included([Scope.DATA]) == {Scope.DATA, Scope.READ}
    assert with_included([Scope.ADMIN]) == set(Scope)


def test_a_key_of_two_scopes_has_both(api: TestClient) -> None:
    key = key_of(database_of(api.app), "anna", Scope.SUBMIT, Scope.DATA)
    assert api.get("/session", headers=bearer(key)).json() == {"name": "anna", "scopes": ["data", "read", "submit"]}
