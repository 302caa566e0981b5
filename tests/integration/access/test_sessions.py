"""Sessions of browsers: a cookie that scripts cannot read, a token for changes, an end."""

import pytest
from fastapi.testclient import TestClient
from sqlmodel import update

from app.access.audit import entries
from app.access.scopes import Scope
from app.access.tables import LoginSession
from app.database import Database, database_now
from app.guard.authentication import SESSION_COOKIE
from app.settings import Settings
from tests.support.access import key_of

JOB = "0" * 24


@pytest.fixture
def key(api: TestClient, database: Database) -> str:
    assert api
    return key_of(database, "anna", Scope.SUBMIT)


@pytest.fixture
def token(api: TestClient, key: str) -> str:
    """Logged in; the token of the session."""
    answer = api.post("/session", json={"key": key})
    assert answer.status_code == 201, answer.text
    assert (answer.json()["name"], answer.json()["scopes"]) == ("anna", ["submit"])
    csrf_token: str = answer.json()["csrf_token"]
    return csrf_token


def test_a_login_sets_a_cookie_that_scripts_and_other_sites_do_not_get(api: TestClient, key: str) -> None:
    answer = api.post("/session", json={"key": key})
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert key not in answer.text + cookie
    api.base_url = "https://testserver"
    assert "Secure" in api.post("/session", json={"key": key}).headers["set-cookie"]


def test_a_session_reads(api: TestClient, token: str) -> None:
    assert token
    assert api.get("/jobs").status_code == 200
    assert api.get("/session").json()["name"] == "anna"


def test_a_change_needs_the_token_of_the_session(api: TestClient, key: str, token: str) -> None:
    path = f"/jobs/{JOB}/cancel"
    for wrong in ({}, {"X-CSRF-Token": ""}, {"X-CSRF-Token": token[:-1] + "x"}):
        answer = api.post(path, headers=wrong)
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_token_missing")
    assert api.post(path, headers={"X-CSRF-Token": token}).status_code == 404
    with_key = api.post(path, headers={"Authorization": f"Bearer {key}"})
    assert with_key.status_code == 404, "a key needs no token: no browser adds it by itself"


def test_a_token_of_another_session_is_none(api: TestClient, key: str, token: str) -> None:
    other = api.post("/session", json={"key": key}).json()["csrf_token"]
    assert other != token
    assert api.post(f"/jobs/{JOB}/cancel", headers={"X-CSRF-Token": token}).status_code == 403


def test_a_session_has_the_scopes_of_its_key(api: TestClient, token: str) -> None:
    answer = api.delete("/datasets/x", headers={"X-CSRF-Token": token})
    assert answer.json()["code"] == "scope_missing"


def test_a_logout_ends_the_session_for_everybody_who_has_the_cookie(api: TestClient, token: str) -> None:
    cookie = api.cookies[SESSION_COOKIE]
    assert token
    assert api.delete("/session").status_code == 204
    assert SESSION_COOKIE not in api.cookies
    assert api.get("/jobs", headers={"Cookie": f"{SESSION_COOKIE}={cookie}"}).status_code == 401
    assert api.delete("/session").status_code == 204


def test_a_session_ends_with_its_key(api: TestClient, token: str, key: str, database: Database) -> None:
    from app.access.keys import revoke_key

    assert token
    with database.writing() as session:
        revoke_key(session, key)
    assert api.get("/jobs").status_code == 401


def test_a_session_ends_with_its_time(api: TestClient, token: str, database: Database) -> None:
    assert token
    with database.writing() as session:
        session.execute(update(LoginSession).values(expires_at=database_now() - 1))
    assert api.get("/jobs").status_code == 401


def test_the_secret_of_a_session_is_not_stored(api: TestClient, token: str, settings: Settings) -> None:
    assert token
    stored = b"".join(path.read_bytes() for path in settings.var_dir.glob("edgeface.sqlite*"))
    assert api.cookies[SESSION_COOKIE].encode() not in stored


@pytest.mark.parametrize("wrong", ["", "eff_unknown", "x" * 500])
def test_a_login_with_another_key_is_refused(api: TestClient, key: str, wrong: str) -> None:
    assert key
    answer = api.post("/session", json={"key": wrong})
    assert (answer.status_code, answer.json()["code"]) == (401, "key_invalid")
    assert "set-cookie" not in answer.headers


def test_login_and_logout_are_in_the_audit_once_each(api: TestClient, token: str, database: Database) -> None:
    for _ in range(2):
        api.delete("/session", headers={"X-CSRF-Token": token})
    with database.reading() as session:
        made = [(each.who, each.action) for each in entries(session, before=None, limit=9)]
    assert made == [("anna", "logout"), ("anna", "login"), ("admin", "create key")]
