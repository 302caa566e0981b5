"""The client and the commands send the key, and never show it."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from click.testing import CliRunner
from fastapi import FastAPI

from app.access.scopes import Scope
from app.cli.service import edgeface_finetune
from app.client import ApiError, Client
from app.database import Database
from app.settings import Settings
from tests.support.access import key_of
from tests.support.servers import free_port


@pytest.fixture
def url(application: FastAPI) -> Iterator[str]:
    """Of a service that listens; it asks for keys."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(application, port=port, log_config=None, lifespan="on"))
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
def key(url: str, database: Database) -> str:
    assert url
    return key_of(database, "anna", Scope.READ)


def test_the_client_sends_the_key_it_is_given_or_that_of_the_environment(
    url: str, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Client(url) as client, pytest.raises(ApiError) as refused:
        client.list()
    assert refused.value.problem.code == "key_missing"
    assert "EDGEFACE_KEY" in refused.value.problem.hint
    with Client(url, key=key) as client:
        assert client.list().jobs == []
        assert key not in repr(client) + repr(vars(client))
    monkeypatch.setenv("EDGEFACE_KEY", f"{key}\n")
    with Client(url) as client:
        assert client.list().jobs == []
    with Client(url, key="eff_other") as client, pytest.raises(ApiError) as wrong:
        client.list()
    assert wrong.value.problem.code == "key_invalid"


def test_the_commands_send_the_key_of_the_environment(url: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEFACE_KEY", key)
    listed = CliRunner().invoke(edgeface_finetune, ["jobs", "--url", url], catch_exceptions=False)
    assert listed.exit_code == 0, listed.output
    shown = CliRunner().invoke(edgeface_finetune, ["status", "0" * 24, "--url", url])
    assert key not in shown.output + str(shown.exception)


@pytest.mark.slow
def test_an_api_on_a_network_needs_a_key_and_speaks_tls(settings: Settings, tmp_path: Path) -> None:
    """The real command, refused without a key and then over TLS."""
    import ssl
    import subprocess

    import httpx2

    from tests.system.conftest import Machine, wait_until

    certificate, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(private), "-out", str(certificate)]
    subprocess.run([*request, *names], check=True, capture_output=True)
    machine = Machine(settings.var_dir, {"EDGEFACE_HOST": "0.0.0.0"})  # noqa: S104
    try:
        refused = machine.run("api", check=False)
        assert refused.returncode == 2
        assert "keys_needed" in refused.stderr
        assert "Traceback" not in refused.stderr
        tls = {"EDGEFACE_TLS_CERT": str(certificate), "EDGEFACE_TLS_KEY": str(private)}
        machine.environment.update(tls)
        created = machine.run("keys", "create", "anna", "--scope", "read").stdout.strip()
        machine.start("api")
        trusted = ssl.create_default_context(cafile=str(certificate))
        with httpx2.Client(base_url=f"https://127.0.0.1:{machine.port}", verify=trusted) as http:
            wait_until(lambda: _lives(http), 60.0, machine.log)
            assert http.get("/jobs").status_code == 401
            assert http.get("/jobs", headers={"Authorization": f"Bearer {created}"}).status_code == 200
            login = http.post("/session", json={"key": created})
            assert "Secure" in login.headers["set-cookie"]
        assert created not in machine.log()
    finally:
        machine.close()


def _lives(http: object) -> bool:
    import httpx2

    assert isinstance(http, httpx2.Client)
    try:
        return http.get("/health/live").status_code == 200
    except httpx2.TransportError:
        return False
