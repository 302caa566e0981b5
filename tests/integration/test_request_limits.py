"""What a request may take: bytes, values, a place in the queue of checks, a rate."""

import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.types import Message

import app.routes.inputs
from app.access.scopes import Scope
from app.finetune.interruption import check_interrupted
from app.finetune.job_config import MOST_LEAK_CHARACTERS, MOST_LEAKS
from app.finetune.job_kinds import FINETUNING, kind_of
from app.main import create_app
from app.request_limits.checks import CheckPool
from app.request_limits.errors import ChecksBusy, ClientGone
from app.request_limits.sizes import MOST_BODY_BYTES, MOST_HEAD_BYTES, MOST_TARGET_BYTES
from app.routes.dependencies import Service
from app.settings import Settings
from tests.integration.conftest import submit
from tests.support.access import bearer, key_of
from tests.support.datasets import write_dataset, write_edgeface

MOST_ECHO = 1000
"""Bytes of an answer that refuses a request."""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Settings:
    folder = tmp_path_factory.mktemp("limits") / "var"
    folder.mkdir()
    (folder / "edgeface.sqlite").write_bytes(sqlite_template.read_bytes())
    settings = Settings(var_dir=folder, max_queued_jobs=2)
    write_dataset(settings.datasets_dir / "faces")
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    return settings


@pytest.fixture(scope="module")
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def service(api: TestClient) -> Service:
    return cast("FastAPI", api.app).state.service  # type: ignore[no-any-return]


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    content: dict[str, Any] = answer.json()
    assert content["code"] == code
    assert content["hint"]
    assert len(answer.content) < MOST_ECHO + 20 * 300
    return content


def test_a_body_is_refused_by_its_declared_length_before_it_is_read(api: TestClient) -> None:
    def never_read() -> Iterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    headers = {"Content-Type": "application/json", "Content-Length": str(MOST_BODY_BYTES + 1)}
    problem(api.post("/jobs", content=never_read(), headers=headers), 413, "body_too_large")


def test_a_body_without_a_length_is_refused_when_it_gets_too_long(api: TestClient) -> None:
    chunks = (b" " * 100_000 for _ in range(11))
    problem(api.post("/jobs", content=chunks, headers={"Content-Type": "application/json"}), 413, "body_too_large")


def test_a_body_of_the_largest_size_is_read(api: TestClient) -> None:
    body = json.dumps({"dataset": "faces", "recipe": "none"}).encode()
    problem(api.post("/jobs", content=body + b" " * (MOST_BODY_BYTES - len(body))), 422, "request_invalid")


def test_path_query_and_headers_are_bounded(api: TestClient) -> None:
    problem(api.get("/jobs/" + "a" * MOST_TARGET_BYTES), 414, "uri_too_long")
    problem(api.get("/jobs", params={"cursor": "a" * MOST_TARGET_BYTES}), 414, "uri_too_long")
    problem(api.get("/jobs", headers={"X": "a" * MOST_HEAD_BYTES}), 431, "headers_too_large")


@pytest.mark.parametrize("path", ["/jobs", "/evaluations", "/dsr-trainings", "/datasets"])
@pytest.mark.parametrize(
    "body",
    [
        "[" * 400_000,
        '{"dataset":' * 80_000 + "1" + "}" * 80_000,
        '{"dataset": "faces", "seed": ' + "9" * 900_000 + "}",
        '{"dataset": "faces", "seed": ' + "9" * 4000 + "}",
        '{"dataset": "faces", "threshold": 1e999, "lr": 1e999, "head_lr": 1e999}',
        json.dumps({"dataset": "faces", **{f"field_{number}": 1 for number in range(40_000)}}),
        json.dumps({"dataset": "faces", "x" * 900_000: 1}),
        json.dumps({"dataset": "x" * 900_000}),
        json.dumps({"dataset": "faces", "device": "x" * 900_000, "recipe": "x" * 90_000}),
        json.dumps({"dataset": "faces", "allowed_leaks": ["x"] * 150_000, "vlr_sizes": [12] * 20_000}),
        json.dumps({"dataset": {"a": ["x" * 1000] * 800}}),
    ],
    ids=lambda body: f"{body[:20]}-{len(body)}",
)
@pytest.mark.parametrize("type_", ["application/json", "text/plain"])
def test_a_hostile_body_is_refused_in_a_few_words(api: TestClient, path: str, body: str, type_: str) -> None:
    answer = api.post(path, content=body, headers={"Content-Type": type_})
    problem(answer, 422, "request_invalid")
    assert "x" * 210 not in answer.text
    assert "9" * 210 not in answer.text


def test_errors_repeat_the_beginning_and_the_end_of_a_long_name(api: TestClient) -> None:
    name = "first" + "x" * 490 + "last"
    for answer in (
        api.post("/jobs", json={"dataset": name}),
        api.post("/jobs", json={"dataset": "faces", "edgeface": name}),
        api.post("/jobs", json={"dataset": "faces", "edgeface": f"job:{name}"}),
        api.post("/jobs", json={"dataset": f"../{name}"}),
        api.get(f"/jobs/{name}"),
        api.get(f"/datasets/{name}"),
        api.get("/jobs", params={"cursor": name}),
        api.get(f"/nothing/{name}"),
    ):
        assert 400 <= answer.status_code < 500
        assert "first" in answer.text
        assert "x" * 210 not in answer.text


def test_a_list_of_leaks_is_bounded_and_a_row_of_an_earlier_version_is_read(api: TestClient) -> None:
    for leaks in (["x"] * (MOST_LEAKS + 1), ["x" * 500] * (MOST_LEAK_CHARACTERS // 500 + 1)):
        answer = api.post("/jobs?dry_run=true", json={"dataset": "faces", "allowed_leaks": leaks})
        assert "`*`" in problem(answer, 422, "request_invalid")["detail"]
        kind_of(FINETUNING).decode({"dataset": "faces", "allowed_leaks": leaks})
    fitting = ["x"] * MOST_LEAKS
    assert api.post("/jobs?dry_run=true", json={"dataset": "faces", "allowed_leaks": fitting}).status_code == 200


def test_every_string_and_list_of_a_request_is_bounded(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    bodies = {
        f"{method} {path}": content["schema"]
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for type_, content in operation.get("requestBody", {}).get("content", {}).items()
        if "json" in type_
    }
    assert len(bodies) >= 4
    unbounded = {f"{name}{where}" for name, schema in bodies.items() for where in _unbounded(schema, document, ())}
    assert unbounded == set()


def _unbounded(schema: dict[str, Any], document: dict[str, Any], above: tuple[str, ...]) -> Iterator[str]:
    """Yield the path of each string, list or object without a limit."""
    if (reference := schema.get("$ref")) is not None:
        if reference not in above:
            name = reference.rpartition("/")[2]
            yield from _unbounded(document["components"]["schemas"][name], document, (*above, reference))
        return
    for union in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(union, ()):
            yield from _unbounded(each, document, above)
    match schema.get("type"):
        case "string":
            fixed = re.fullmatch(r"\^[^*+]*\$", schema.get("pattern", "")) and ",}" not in schema["pattern"]
            if not fixed and not schema.keys() & {"maxLength", "enum", "const", "format"}:
                yield ""
        case "array":
            if "maxItems" not in schema:
                yield "[]"
            for each in (schema.get("items", {}), *schema.get("prefixItems", ())):
                yield from (f"[]{where}" for where in _unbounded(each, document, above))
        case "object":
            for name, each in schema.get("properties", {}).items():
                yield from (f".{name}{where}" for where in _unbounded(each, document, above))
            if schema.get("additionalProperties", True) is not False and "maxProperties" not in schema:
                yield ".*"


def test_the_queue_has_a_last_place_for_each_owner(api: TestClient) -> None:
    database = service(api).database
    for _ in range(2):
        submit(database)  # of the service itself
    jobs = [api.post("/jobs", json={"dataset": "faces"}).json()["id"] for _ in range(2)]
    for path in ("/jobs", "/jobs?dry_run=estimate", "/dsr-trainings"):
        found = problem(api.post(path, json={"dataset": "faces"}), 429, "too_many_queued_jobs")
        assert "EDGEFACE_MAX_QUEUED_JOBS" in found["hint"]
    problem(api.post("/datasets", json={"dataset": "faces"}), 429, "too_many_queued_jobs")
    assert api.post(f"/jobs/{jobs[0]}/cancel").status_code == 200
    accepted = api.post("/jobs", json={"dataset": "faces"}, headers={"Idempotency-Key": "once"})
    assert accepted.status_code == 201
    repeated = api.post("/jobs", json={"dataset": "faces"}, headers={"Idempotency-Key": "once"})
    assert repeated.json()["id"] == accepted.json()["id"]


class Checks:
    """Work that goes on until the test says so."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.interrupted = threading.Event()

    def __call__(self, *_: object) -> list[str]:
        self.begun.release()
        while not self.may_end.wait(0.005):
            try:
                check_interrupted()
            except BaseException:
                self.interrupted.set()
                raise
        return ["done.pt"]


def test_other_requests_go_on_while_all_checks_hang_and_more_are_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = Checks()
    monkeypatch.setattr(app.routes.inputs, "list_weights", listing)
    limited = settings.model_copy(update={"checks_at_once": 2, "checks_waiting": 1})
    with TestClient(create_app(limited)) as api, ThreadPoolExecutor() as threads:
        try:
            job = submit(service(api).database)
            lists = [threads.submit(api.get, "/weights") for _ in range(2)]
            assert all(listing.begun.acquire(timeout=30) for _ in lists)
            lists.append(threads.submit(api.get, "/weights"))
            while service(api).checks.waiting < 1:
                assert not lists[2].done()
            refused = api.get("/weights")
            problem(refused, 503, "checks_busy")
            assert int(refused.headers["retry-after"]) > 0
            assert api.get("/health/live").json() == {"live": True}
            for path in (f"/jobs/{job}", "/jobs", f"/jobs/{job}/events", f"/jobs/{job}/metrics"):
                assert api.get(path).status_code == 200
            assert api.post(f"/jobs/{job}/cancel").status_code == 200
        finally:
            listing.may_end.set()
        assert [each.result().json()["names"] for each in lists] == [["done.pt"]] * 3
        assert api.get("/weights").status_code == 200


class Client:
    """A request whose client leaves when the test says so."""

    def __init__(self) -> None:
        self.leaves = anyio.Event()
        self.request = Request({"type": "http"}, self._receive)

    async def _receive(self) -> Message:
        await self.leaves.wait()
        return {"type": "http.disconnect"}


def test_a_client_that_leaves_ends_its_check_and_its_wait() -> None:
    async def leave() -> None:
        pool, works, waits = CheckPool(1, 1), Client(), Client()
        work, never = Checks(), Checks()
        ended: dict[str, BaseException] = {}

        async def run(name: str, client: Client, check: Checks) -> None:
            try:
                await pool.run(client.request, check)
            except ClientGone as error:
                ended[name] = error

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run, "works", works, work)
            await anyio.to_thread.run_sync(work.begun.acquire)
            tasks.start_soon(run, "waits", waits, never)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ChecksBusy):
                await pool.run(Client().request, never)
            waits.leaves.set()
            while "waits" not in ended:
                await anyio.sleep(0)
            assert (pool.running, pool.waiting) == (1, 0)
            works.leaves.set()
        assert set(ended) == {"works", "waits"}
        assert work.interrupted.is_set()
        assert not never.begun.acquire(blocking=False)
        assert await pool.run(Client().request, lambda: "free again") == "free again"

    anyio.run(leave)


def test_a_caller_with_too_many_requests_is_told_when_to_come_back(settings: Settings) -> None:
    limited = settings.model_copy(update={"rate_of_reads": "3/hour", "rate_of_writes": "2/hour"})
    with TestClient(create_app(limited)) as api:
        assert [api.get("/jobs").status_code for _ in range(4)] == [200, 200, 200, 429]
        refused = api.get("/jobs")
        problem(refused, 429, "too_many_requests")
        assert 0 < int(refused.headers["retry-after"]) <= 7200
        assert refused.headers["ratelimit-policy"] == '"reads";q=3;w=3600'
        assert refused.headers["ratelimit"].startswith('"reads";r=0;t=')
        written = [api.post("/jobs", json={}) for _ in range(3)]
        assert [each.status_code for each in written] == [422, 422, 429]
        assert written[0].headers["ratelimit"].startswith('"writes";r=1;t=')
        assert [api.get("/health/live").status_code for _ in range(5)] == [200] * 5
        other = TestClient(api.app, client=("192.0.2.7", 1))
        assert other.get("/jobs").status_code == 200
        network = [TestClient(api.app, client=(f"2001:db8::{each}", 1)) for each in range(4)]
        assert [each.get("/jobs").status_code for each in network] == [200, 200, 200, 429]


def test_a_key_has_a_limit_of_its_own_whatever_its_addresses(tmp_path: Path, sqlite_template: Path) -> None:
    (tmp_path / "edgeface.sqlite").write_bytes(sqlite_template.read_bytes())
    with TestClient(create_app(Settings(var_dir=tmp_path, rate_of_reads="2/hour"))) as api:
        keys = [key_of(service(api).database, name, Scope.READ) for name in ("ann", "ben")]

        def asks(key: str, address: str) -> int:
            client = TestClient(api.app, client=(address, 1), headers=bearer(key))
            return client.get("/jobs").status_code

        assert [asks(keys[0], f"192.0.2.{number}") for number in range(3)] == [200, 200, 429]
        assert asks(keys[1], "192.0.2.9") == 200


def test_no_limit_where_none_is_set(settings: Settings) -> None:
    with TestClient(create_app(settings.model_copy(update={"rate_of_reads": ""}))) as api:
        assert {api.get("/nothing").status_code for _ in range(20)} == {404}
