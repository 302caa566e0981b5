"""Resumable uploads: the tus protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.access.callers import LOCAL
from app.main import create_app
from app.settings import Settings
from tests.integration.uploads.sending import append, begin, checksum, file_of, upload

CONTENT = bytes(range(256)) * 300


def test_the_service_says_what_of_tus_it_can(api: TestClient) -> None:
    answer = api.options("/uploads")
    assert answer.status_code == 204
    assert answer.headers["tus-version"] == "1.0.0"
    assert set(answer.headers["tus-extension"].split(",")) == {
        "creation",
        "creation-with-upload",
        "checksum",
        "expiration",
        "termination",
    }
    assert answer.headers["tus-checksum-algorithm"] == "sha256,sha1"
    assert int(answer.headers["tus-max-size"]) == 100 * 10**9


def test_a_file_comes_in_parts(api: TestClient, settings: Settings) -> None:
    path = begin(api, len(CONTENT), "…/faces.zip")
    assert api.head(path).headers["upload-offset"] == "0"
    for start in range(0, len(CONTENT), 10_000):
        answer = append(api, path, start, CONTENT[start : start + 10_000])
        assert answer.status_code == 204
        assert int(answer.headers["upload-offset"]) == min(start + 10_000, len(CONTENT))
    head = api.head(path)
    assert head.headers["upload-offset"] == head.headers["upload-length"] == str(len(CONTENT))
    assert head.headers["cache-control"] == "no-store"
    assert parsedate_to_datetime(head.headers["upload-expires"])
    view = api.get(path).json()
    assert (view["name"], view["finished"], view["offset"]) == ("faces.zip", True, len(CONTENT))
    assert file_of(settings, path).read_bytes() == CONTENT


def test_the_first_bytes_may_come_with_the_creation(api: TestClient, settings: Settings) -> None:
    headers = {"Upload-Length": "5", "Content-Type": "application/offset+octet-stream"}
    answer = api.post("/uploads", headers=headers, content=b"abc")
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "3")
    path = answer.headers["location"]
    assert append(api, path, 3, b"de").status_code == 204
    assert file_of(settings, path).read_bytes() == b"abcde"


def test_an_empty_file_is_finished_at_once(api: TestClient) -> None:
    assert api.get(begin(api, 0)).json()["finished"]


@pytest.mark.parametrize("algorithm", ["sha256", "sha1"])
def test_a_part_whose_checksum_is_wrong_leaves_nothing(api: TestClient, settings: Settings, algorithm: str) -> None:
    path = begin(api, 6)
    assert append(api, path, 0, b"abc", Upload_Checksum=checksum(b"abc", algorithm)).status_code == 204
    refused = append(api, path, 3, b"xyz", Upload_Checksum=checksum(b"def", algorithm))
    assert (refused.status_code, refused.json()["code"]) == (460, "upload_checksum_wrong")
    assert api.head(path).headers["upload-offset"] == "3"
    assert append(api, path, 3, b"def", Upload_Checksum=checksum(b"def", algorithm)).status_code == 204
    assert file_of(settings, path).read_bytes() == b"abcdef"


def test_bytes_that_no_checksum_confirmed_do_not_count_after_a_kill(api: TestClient, settings: Settings) -> None:
    path = begin(api, 6)
    append(api, path, 0, b"abc")
    file = file_of(settings, path)
    # As a process leaves it that was killed while it received a part with a checksum.
    file.with_name(f"{file.name}.unchecked").write_text("3")
    file.write_bytes(b"abcx")
    assert api.head(path).headers["upload-offset"] == "3"
    assert append(api, path, 3, b"def").status_code == 204
    assert file.read_bytes() == b"abcdef"


def test_the_offset_is_that_of_the_file_whatever_the_row_says(api: TestClient, settings: Settings) -> None:
    path = begin(api, 6)
    file_of(settings, path).write_bytes(b"abcdef")  # as a process leaves it that was killed before it wrote the row
    assert api.head(path).headers["upload-offset"] == "6"
    assert api.get(path).json()["finished"]


REFUSED: list[tuple[dict[str, str], bytes, int, str]] = [
    ({"Upload-Offset": "1"}, b"abc", 409, "upload_offset_wrong"),
    ({"Upload-Offset": "-1"}, b"abc", 400, "upload_header_invalid"),
    ({"Upload-Offset": "9" * 99}, b"abc", 400, "upload_header_invalid"),
    ({"Upload-Offset": "٣"}, b"abc", 400, "upload_header_invalid"),
    ({"Upload-Offset": ""}, b"abc", 400, "upload_header_invalid"),
    ({"Content-Type": "application/json"}, b"abc", 415, "upload_type_wrong"),
    ({"Tus-Resumable": "0.2.2"}, b"abc", 412, "upload_version_unknown"),
    ({"Upload-Checksum": "md5 xxxx"}, b"abc", 400, "upload_header_invalid"),
    ({"Upload-Checksum": "sha256 ="}, b"abc", 400, "upload_header_invalid"),
    ({"Upload-Checksum": "sha256 YWJj"}, b"abc", 400, "upload_header_invalid"),
    ({}, b"abcd", 413, "upload_too_long"),
]


@pytest.mark.parametrize(("headers", "content", "status", "code"), REFUSED)
def test_a_wrong_part_is_refused_and_leaves_nothing(
    api: TestClient, headers: dict[str, str], content: bytes, status: int, code: str
) -> None:
    path = begin(api, 3)
    sent = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream", **headers}
    answer = api.patch(path, content=content, headers=[(key.encode(), value.encode()) for key, value in sent.items()])
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["hint"]
    assert api.head(path).headers["upload-offset"] == "0"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 411),
        ({"Upload-Length": "x"}, 400),
        ({"Upload-Length": "3", "Upload-Metadata": "filename ="}, 400),
        ({"Upload-Length": "3", "Upload-Metadata": "filename " + "a" * 5000}, 400),
        ({"Upload-Length": "3", "Content-Type": "text/plain"}, 415),
    ],
)
def test_a_wrong_creation_leaves_nothing(
    api: TestClient, settings: Settings, headers: dict[str, str], status: int
) -> None:
    assert api.post("/uploads", headers=headers).status_code == status
    assert api.get("/uploads").json()["uploads"] == []
    assert list((settings.uploads_dir / "incoming").glob("*")) == []


def test_a_deleted_upload_is_gone(api: TestClient, settings: Settings) -> None:
    path = begin(api, 3)
    assert api.delete(path).status_code == 204
    assert not file_of(settings, path).exists()
    for answer in (api.get(path), api.delete(path), append(api, path, 0, b"abc")):
        assert (answer.status_code, answer.json()["code"]) == (404, "upload_not_found")


@pytest.mark.parametrize("name", ["%2e%2e", "..%2f..%2fedgeface.sqlite", "0" * 23, "0" * 25, "edgeface.sqlite"])
def test_no_id_leads_out_of_the_folder(api: TestClient, name: str) -> None:
    for answer in (
        api.get(f"/uploads/{name}"),
        api.delete(f"/uploads/{name}"),
        append(api, f"/uploads/{name}", 0, b""),
    ):
        assert 400 <= answer.status_code < 500


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\faces.zip", "faces.zip"),
        ("a\x1b[2Jb.zip", "a?[2Jb.zip"),
        ("x" * 400, "x" * 255),
        ("/", "upload"),
    ],
)
def test_a_name_is_a_name_and_no_path(api: TestClient, sent: str, shown: str) -> None:
    assert api.get(begin(api, 1, sent)).json()["name"] == shown


def test_uploads_are_listed_newest_first(api: TestClient) -> None:
    first, second = begin(api, 3, "a"), upload(api, b"four", "b")
    listed = api.get("/uploads").json()
    assert [each["name"] for each in listed["uploads"]] == ["b", "a"]
    assert listed["uploads"][1]["id"] == first.rpartition("/")[2]
    assert listed["uploads"][0]["id"] == second
    assert listed["used_bytes"] == 7


class Sender:
    """A PATCH whose body the test sends bit by bit."""

    def __init__(self, app: FastAPI, path: str, offset: int, **headers: str) -> None:
        self._messages: asyncio.Queue[MutableMapping[str, Any]] = asyncio.Queue()
        self._answers: list[MutableMapping[str, Any]] = []
        sent = {"upload-offset": str(offset), "content-type": "application/offset+octet-stream"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": "http",
            "method": "PATCH",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": [(b"host", b"127.0.0.1"), *((name.encode(), value.encode()) for name, value in sent.items())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "scheme": "http",
            "http_version": "1.1",
        }

        async def send(message: MutableMapping[str, Any]) -> None:
            self._answers.append(message)

        self.task = asyncio.ensure_future(app(scope, self._messages.get, send))

    def send(self, content: bytes, *, more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": content, "more_body": more})

    def go_away(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def taken(self) -> None:
        """All that was sent was read."""
        while not self._messages.empty():
            await asyncio.sleep(0)

    async def status(self) -> int:
        await self.task
        return int(self._answers[0]["status"])


def in_service(settings: Settings, act: Callable[[FastAPI, str], Awaitable[None]], length: int = 6) -> None:
    """Run `act` with the service and the path of an upload."""

    async def run() -> None:
        app = create_app(settings)
        async with _running(app):
            upload = app.state.service.uploads.create(LOCAL, "faces.zip", length, resumable=True)
            await act(app, f"/uploads/{upload.id}")

    asyncio.run(run())


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    async with app.router.lifespan_context(app):
        yield


def test_what_came_before_the_client_went_away_is_kept(settings: Settings) -> None:
    async def act(app: FastAPI, path: str) -> None:
        sender = Sender(app, path, 0)
        sender.send(b"abc")
        sender.go_away()
        await sender.task
        assert file_of(settings, path).read_bytes() == b"abc"
        again = Sender(app, path, 3)
        again.send(b"def", more=False)
        assert await again.status() == 204
        assert file_of(settings, path).read_bytes() == b"abcdef"

    in_service(settings, act)


def test_a_part_with_a_checksum_is_kept_whole_or_not(settings: Settings) -> None:
    async def act(app: FastAPI, path: str) -> None:
        sender = Sender(app, path, 0, upload_checksum=checksum(b"abcdef"))
        sender.send(b"abc")
        sender.go_away()
        await sender.task
        assert file_of(settings, path).read_bytes() == b""

    in_service(settings, act)


def test_a_request_that_hangs_gives_way_to_the_one_that_resumes(settings: Settings) -> None:
    async def act(app: FastAPI, path: str) -> None:
        hanging = Sender(app, path, 0)
        hanging.send(b"abc")
        await hanging.taken()
        offset = await app.state.service.receiver.offset(app.state.service.uploads.file(path.rpartition("/")[2]))
        assert offset == 3
        assert await hanging.status() == 423
        again = Sender(app, path, 3)
        again.send(b"def", more=False)
        assert await again.status() == 204
        assert file_of(settings, path).read_bytes() == b"abcdef"

    in_service(settings, act)


def test_another_process_that_writes_is_waited_for(settings: Settings) -> None:
    async def act(app: FastAPI, path: str) -> None:
        other = app.state.service.uploads.file(path.rpartition("/")[2]).open_writer()
        sender = Sender(app, path, 0)
        sender.send(b"abc", more=False)
        assert await sender.status() == 423
        other.close()

    in_service(settings, act)


def test_more_bytes_than_announced_are_cut(settings: Settings) -> None:
    async def act(app: FastAPI, path: str) -> None:
        sender = Sender(app, path, 0)
        sender.send(b"abc")
        sender.send(b"defg", more=False)
        assert await sender.status() == 413
        assert file_of(settings, path).read_bytes() == b""

    in_service(settings, act)
