"""Requests of uploads, for tests."""

import base64
import hashlib
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from app.settings import Settings
from app.uploads.protocol import CONTENT_TYPE


def metadata(name: str) -> str:
    return f"filename {base64.b64encode(name.encode()).decode()}"


def checksum(content: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def begin(api: TestClient, length: int, name: str = "faces.zip") -> str:
    """The path of a new upload."""
    answer = api.post("/uploads", headers={"Upload-Length": str(length), "Upload-Metadata": metadata(name)})
    assert answer.status_code == 201, answer.text
    return str(answer.headers["location"])


def append(api: TestClient, path: str, offset: int, content: bytes, **headers: str) -> Any:
    sent = {"Upload-Offset": str(offset), "Content-Type": CONTENT_TYPE, "Tus-Resumable": "1.0.0"}
    return api.patch(path, content=content, headers=sent | {key.replace("_", "-"): headers[key] for key in headers})


def upload(api: TestClient, content: bytes, name: str = "faces.zip") -> str:
    """The id of a whole upload."""
    path = begin(api, len(content), name)
    assert append(api, path, 0, content).status_code == 204
    return path.rpartition("/")[2]


def file_of(settings: Settings, path: str) -> Path:
    return settings.uploads_dir / "incoming" / path.rpartition("/")[2]
