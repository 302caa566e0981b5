"""Whole files sent as a form, as `curl -F file=@faces.zip` does."""

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.settings import Settings
from tests.integration.uploads.sending import append, file_of


def test_a_form_is_one_whole_upload(api: TestClient, settings: Settings) -> None:
    content = bytes(range(256)) * 3000 + b"\r\n--"
    answer = api.post("/uploads", files={"file": ("my faces.zip", content)})
    assert answer.status_code == 201, answer.text
    view = answer.json()
    assert (view["name"], view["finished"], view["resumable"]) == ("my faces.zip", True, False)
    assert view["offset"] == view["length"] == len(content)
    path = answer.headers["location"]
    assert file_of(settings, path).read_bytes() == content
    refused = append(api, path, len(content), b"")
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_not_resumable")


@hypothesis_settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.lists(st.sampled_from([b"\r\n", b"--", b"--x", b"\r\n--x", b"\r", b"\n", b"a"])).map(b"".join))
def test_content_that_looks_like_a_boundary_is_content(api: TestClient, settings: Settings, content: bytes) -> None:
    body = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n' + content + b"\r\n--xyz--\r\n"
    answer = api.post("/uploads", content=body, headers={"Content-Type": "multipart/form-data; boundary=xyz"})
    assert answer.status_code == 201, answer.text
    assert file_of(settings, answer.headers["location"]).read_bytes() == content


PART = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nabc\r\n'


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", PART + b"--x--\r\n"),
        ("multipart/form-data; boundary=" + "x" * 300, PART + b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data; boundary=x", b"no form at all"),
        ("multipart/form-data; boundary=x", PART),
        ("multipart/form-data; boundary=x", PART[:-4]),
        ("multipart/form-data; boundary=x", PART + PART + b"--x--\r\n"),
        ("multipart/form-data; boundary=x", PART.replace(b'"file"', b'"other"') + b"--x--\r\n"),
        ("multipart/form-data; boundary=x", PART.replace(b'; filename="f"', b"") + b"--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"X-Long: " + b"a" * 100_000),
        ("multipart/form-data; boundary=x", b"--x\r\n" + b"X-Many: a\r\n" * 1000),
        ("multipart/form-data; boundary=x", b"--x--\r\n"),
    ],
)
def test_a_form_that_is_not_one_whole_file_leaves_nothing(
    api: TestClient, settings: Settings, content_type: str, body: bytes
) -> None:
    answer = api.post("/uploads", content=body, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (400, "upload_form_invalid")
    assert api.get("/uploads").json() == {"uploads": [], "used_bytes": 0, "quota_bytes": 100 * 10**9}
    assert list((settings.uploads_dir / "incoming").glob("*")) == []
