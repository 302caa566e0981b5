"""`compare-faces` and `embed`, and the page of the dashboard, against a real server."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from fastapi.testclient import TestClient

from app.client import ApiError, Client, ExportFailed
from app.database import Database
from app.jobs.transitions import wishes
from app.main import create_app
from app.settings import Settings
from tests.integration.test_models import (
    GIVEN,
    TUNED,
    database,
    exported,
    faces,
    settings,
    tuned_job,
    write_other_weights,
)
from tests.support.command_line import edgeface_finetune
from tests.support.servers import free_port

__all__ = ["database", "exported", "faces", "settings"]
pytestmark = pytest.mark.slow


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    settings.port = free_port()
    application = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(application, port=settings.port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{settings.port}"
    finally:
        application.state.service.stopping.set()
        server.should_exit = True
        thread.join()


def test_the_commands_compare_and_embed(url: str, settings: Settings, faces: Path, tmp_path: Path) -> None:
    one, same = (str(faces / "orl_aligned" / "s01" / name) for name in ("01.png", "02.png"))
    compared = edgeface_finetune(settings, "compare-faces", one, same, "--model", GIVEN, "--url", url)
    assert compared.status == 0, compared.errors
    assert compared.output.startswith("No threshold is known. Similarity 0.")
    assert "\n02  0." in compared.output

    out = tmp_path / "faces.npz"
    embedded = edgeface_finetune(settings, "embed", one, same, "--model", GIVEN, "--out", str(out), "--url", url)
    assert embedded.status == 0, embedded.errors
    with np.load(out) as found:
        assert found["names"].tolist() == [one, same]
        assert found["embeddings"].shape == (2, 512)
        similarity = float(found["embeddings"][0] @ found["embeddings"][1])
    assert f"{similarity:.3f}" in compared.output
    wrong = edgeface_finetune(settings, "embed", one, "--model", "none.pt", "--out", str(out), "--url", url)
    assert (wrong.status, "model_not_found" in wrong.errors) == (2, True)


def test_the_client_waits_for_the_file_and_says_why_there_is_none(
    url: str, settings: Settings, database: Database, faces: Path
) -> None:
    write_other_weights(settings)
    seen = []

    def cancel(status: str) -> None:
        seen.append(status)
        if len(seen) == 1:
            (job_id,) = (job.id for job in client.list(kind="model_export", statuses=("queued",)).jobs)  # type: ignore[arg-type]
            with database.writing() as session:
                wishes.request_cancel(session, job_id)

    photo = faces / "orl_aligned" / "s01" / "01.png"
    with Client(url, patience_seconds=10.0) as client:
        with pytest.raises(ApiError):
            client.embed("none.pt", [photo])
        with pytest.raises(ExportFailed, match="cancelled"):
            client.embed("other.pt", [photo], on_status=cancel)
        names = [model.id for model in client.models().models]
    assert seen[0] == "queued"
    assert names == [TUNED, GIVEN, "other.pt"]


def test_the_page_shows_the_answer_and_what_is_wrong(settings: Settings, database: Database, faces: Path) -> None:
    job = tuned_job(database, settings, before=0.9, after=0.1)
    names = ("s01/01.png", "s01/02.png", "s02/01.png")
    one, same, other = ((faces / "orl_aligned" / name).read_bytes() for name in names)
    browser = {"Accept": "text/html"}
    with TestClient(create_app(settings)) as api:
        form = api.get("/ui/try", headers=browser).text
        assert f'<option value="job:{job.id}" selected>' in form
        answer = api.post(
            "/ui/try",
            headers=browser,
            data={"model": f"job:{job.id}"},
            files=[("probe", ("a.png", one)), ("gallery", ("s01.png", same)), ("gallery", ("s02.png", other))],
        )
        assert answer.status_code == 200, answer.text
        for words in ("Same person", "The most similar first", "not the same person", "data:image/png;base64,"):
            assert words in answer.text
        wrong: dict[str, Any] = {
            "files": [("probe", ("a.png", b"no image")), ("gallery", ("b.png", one))],
            "data": {"model": GIVEN},
        }
        plain = api.post("/ui/try", headers=browser, **wrong)
        by_htmx = api.post("/ui/try", headers={**browser, "HX-Request": "true"}, **wrong)
        assert (plain.status_code, by_htmx.status_code) == (422, 200)
        assert "a: not an image of a format that is read" in by_htmx.text
