"""A browser logs in and out by plain forms."""

import pytest
from fastapi.testclient import TestClient

from app.access.scopes import Scope
from app.database import Database
from app.guard.authentication import SESSION_COOKIE
from tests.integration.pages.conftest import BROWSER, Visit
from tests.support.access import key_of


@pytest.fixture
def key(api: TestClient, database: Database) -> str:
    assert api
    return key_of(database, "anna", Scope.SUBMIT)


def log_in(api: TestClient, key: str, following: str = "/") -> tuple[int, str]:
    answer = api.post("/ui/login", data={"key": key, "next": following}, headers=BROWSER, follow_redirects=False)
    return answer.status_code, answer.headers.get("location", "")


def test_a_browser_without_a_key_is_led_to_the_login_and_back(visit: Visit, api: TestClient, key: str) -> None:
    answer = visit("/?tab=failed&kind=evaluation")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/ui/login?next=/%3Ftab%3Dfailed%26kind%3Devaluation"
    form = visit(answer.headers["location"]).text
    assert 'name="next" value="/?tab=failed&amp;kind=evaluation"' in form
    assert log_in(api, key, "/?tab=failed&kind=evaluation") == (303, "/?tab=failed&kind=evaluation")
    page = visit("/")
    assert page.status_code == 200
    assert "anna" in page.text
    assert "X-CSRF-Token" in page.text


def test_a_program_without_a_key_gets_problem_details(api: TestClient, key: str) -> None:
    assert key
    answer = api.get("/")
    assert (answer.status_code, answer.json()["code"]) == (401, "key_missing")


def test_the_token_on_the_page_is_that_of_the_session(visit: Visit, api: TestClient, key: str) -> None:
    log_in(api, key)
    token = visit("/").text.partition('"X-CSRF-Token": "')[2].partition('"')[0]
    path = f"/jobs/{'0' * 24}/cancel"
    assert api.post(path).json()["code"] == "csrf_token_missing"
    assert api.post(path, headers={"X-CSRF-Token": token}).json()["code"] == "job_not_found"


def test_a_wrong_key_is_said_at_its_field(api: TestClient, key: str) -> None:
    answer = api.post("/ui/login", data={"key": key[:-1] + "!"}, headers=BROWSER)
    assert answer.status_code == 401
    assert 'aria-invalid="true" aria-describedby="key-problem"' in answer.text
    assert key[:-1] not in answer.text
    assert SESSION_COOKIE not in api.cookies


@pytest.mark.parametrize(
    "address", ["//evil.example", "/\\evil.example", "https://evil.example", "\t//evil.example", ""]
)
def test_a_login_leads_to_no_other_site(api: TestClient, key: str, address: str) -> None:
    assert log_in(api, key, address) == (303, "/")


def test_a_logout_ends_the_session(visit: Visit, api: TestClient, key: str) -> None:
    log_in(api, key)
    cookie = api.cookies[SESSION_COOKIE]
    assert api.post("/ui/logout", follow_redirects=False).headers["location"] == "/ui/login"
    assert visit("/", Cookie=f"{SESSION_COOKIE}={cookie}").status_code == 303


def test_a_service_without_keys_needs_no_login(visit: Visit) -> None:
    assert visit("/").status_code == 200
    assert visit("/ui/login?next=/").headers["location"] == "/"
