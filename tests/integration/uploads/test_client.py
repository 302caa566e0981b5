"""The client's methods for uploads, weights and datasets, against a service that listens."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner

import app.client.uploading
from app.cli.service import edgeface_finetune
from app.client import ApiError, Client
from app.main import create_app
from app.settings import Settings
from tests.integration.uploads.sending import file_of
from tests.support.datasets import write_edgeface
from tests.support.servers import free_port

PART = 1000


@pytest.fixture
def url(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(settings), port=port, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with Client(f"http://127.0.0.1:{port}", patience_seconds=30.0) as client:
            client.list()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for person in ("anna", "ben"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for number in range(3):
            (tmp_path / "faces" / person / f"{number}.png").write_bytes(bytes([number]) * 1500)
    return tmp_path / "faces"


def test_an_upload_that_was_interrupted_goes_on(
    client: Client, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.client.uploading, "PART_BYTES", PART)

    def interrupt(sent: int, _: int) -> None:
        if sent == 3 * PART:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.upload(folder, on_progress=interrupt)
    seen: list[int] = []
    whole = client.upload(folder, on_progress=lambda sent, _: seen.append(sent))
    assert (seen[0], whole.finished, whole.name) == (3 * PART, True, "faces.tar")
    assert len(client.uploads().uploads) == 1
    assert client.upload(folder).id == whole.id  # nothing is sent twice
    (folder / "anna" / "0.png").write_bytes(b"another")
    assert client.upload(folder).id != whole.id
    client.delete_upload(whole.id)
    assert not file_of(settings, whole.id).exists()


def test_an_upload_that_expired_begins_anew(client: Client, folder: Path) -> None:
    first = client.upload(folder)
    client.delete_upload(first.id)
    again = client.upload(folder)
    assert (again.finished, again.id == first.id) == (True, False)


def test_weights_are_sent_shared_and_deleted(client: Client, url: str, tmp_path: Path) -> None:
    path = write_edgeface(tmp_path / "mine.pt")
    run = CliRunner().invoke(edgeface_finetune, ["upload", str(path), "--as", "weights", "--url", url])
    assert run.exit_code == 0, run.output
    assert run.stdout.startswith("mine.pt  edgeface_xxs  sha256 ")
    weights = client.uploaded_weights("mine.pt")
    assert run.stdout.split()[-1] == weights.sha256
    assert client.share_weights("mine.pt").shared
    assert client.weights().uploaded == [weights.model_copy(update={"shared": True})]
    assert client.delete_weights("mine.pt").name == "mine.pt"
    with pytest.raises(ApiError) as gone:
        client.uploaded_weights("mine.pt")
    assert gone.value.problem.code == "weights_not_uploaded"


def test_a_folder_becomes_a_dataset(client: Client, url: str, folder: Path) -> None:
    arguments = ["upload", str(folder), "--as", "dataset", "--name", "office", "--vlr-size", "24", "--url", url]
    run = CliRunner().invoke(edgeface_finetune, arguments)
    assert run.exit_code == 0, run.output
    job = client.get(run.stdout.strip())
    assert job.kind == "dataset_import"
    config = job.config.model_dump()
    assert (config["name"], config["options"]["vlr_size"], config["options"]["split"]) == ("office", 24, "subjects")
    assert client.uploads().uploads[0].job == job.id


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--name", "office"], "--as dataset or --as weights"),
        (["--as", "weights", "--vlr-size", "24"], "need --as dataset"),
        (["--watch"], "need --as dataset"),
    ],
)
def test_options_without_use_are_refused(tmp_path: Path, arguments: list[str], said: str) -> None:
    run = CliRunner().invoke(edgeface_finetune, ["upload", str(tmp_path), *arguments])
    assert run.exit_code == 2
    assert said in run.output
