"""What a request is answered whose file was not read."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.finetune.errors import EdgefaceError
from app.isolated.errors import NeedsTooMuchMemory, ReadersBusy, ReadersUnavailable
from app.problems import add_problem_handlers


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (NeedsTooMuchMemory(Path("a.pt"), 2**20), 422, None),
        (ReadersBusy(Path("a.pt"), 4), 503, "5"),
        (ReadersUnavailable(Path("a.pt"), "no memory"), 503, "5"),
    ],
)
def test_only_what_may_succeed_later_is_worth_a_retry(
    error: EdgefaceError, status: int, retry_after: str | None
) -> None:
    app = FastAPI()
    add_problem_handlers(app)

    def fail() -> None:
        raise error

    app.add_api_route("/", fail)
    answer = TestClient(app, raise_server_exceptions=False).get("/")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    assert answer.json()["code"] == error.code
