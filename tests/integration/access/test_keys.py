"""Keys: made once, stored hashed, revoked and expired at once, needed once there is one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from fastapi.testclient import TestClient
from sqlmodel import col, select, update

from app.access.audit import entries
from app.access.errors import AdminKeyFileInvalid, KeyNameInvalid, KeysNeeded
from app.access.keys import create_key, list_keys, note_use, revoke_key
from app.access.scopes import Scope
from app.access.start import prepare_keys
from app.access.tables import ApiKey
from app.cli.service import edgeface_finetune
from app.database import Database, database_now
from app.settings import Settings
from tests.support.access import bearer, key_of


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> "Run":
    monkeypatch.setenv("EDGEFACE_VAR_DIR", str(settings.var_dir))
    return Run()


class Run:
    def __call__(self, *arguments: str) -> Result:
        result = CliRunner().invoke(edgeface_finetune, ["keys", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result


def test_without_keys_everybody_is_local_and_an_admin(api: TestClient) -> None:
    assert api.get("/session").json() == {"name": "local", "scopes": ["admin", "data", "read", "submit"]}


def test_a_key_lets_in_and_is_stored_as_a_digest_only(run: Run, api: TestClient, settings: Settings) -> None:
    secret = run("create", "anna", "--scope", "read").stdout.strip()
    assert len(secret) >= 43
    assert api.get("/jobs").status_code == 401
    assert api.get("/jobs", headers=bearer(secret)).status_code == 200
    stored = b"".join(path.read_bytes() for path in settings.var_dir.glob("edgeface.sqlite*"))
    assert secret[:10].encode() in stored
    assert secret[10:].encode() not in stored


def test_two_keys_are_never_alike(database: Database) -> None:
    assert len({key_of(database, "anna", Scope.READ) for _ in range(50)}) == 50


def test_the_list_shows_the_state_and_no_secret(run: Run) -> None:
    secret = run("create", "anna", "--scope", "submit", "--expires-days", "2").stdout.strip()
    lines = run("list").stdout
    assert secret[:10] in lines
    assert secret not in lines
    assert "anna  submit  valid, expires in" in lines
    (key,) = json.loads(run("list", "--json").stdout)
    assert (key["name"], key["scopes"], key["state"], key["last_used_at"]) == ("anna", ["submit"], "valid", None)
    run("revoke", key["id"])
    assert "revoked" in run("list").stdout


@pytest.mark.parametrize("by", ["id", "prefix", "secret"])
def test_a_revoked_key_lets_nobody_in_from_the_next_request_on(
    run: Run, api: TestClient, database: Database, by: str
) -> None:
    secret = key_of(database, "anna", Scope.READ)
    assert api.get("/jobs", headers=bearer(secret)).status_code == 200
    with database.reading() as session:
        (key,) = list_keys(session)
    run("revoke", {"id": key.id, "prefix": key.prefix, "secret": secret}[by])
    answer = api.get("/jobs", headers=bearer(secret))
    assert (answer.status_code, answer.json()["code"]) == (401, "key_invalid")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert api.get("/jobs").status_code == 401, "revoking the last key must not open the service"


@pytest.mark.usefixtures("run")
def test_an_unknown_key_is_named_by_its_first_characters_only() -> None:
    secret = "x" * 43
    result = CliRunner().invoke(edgeface_finetune, ["keys", "revoke", secret])
    assert "there is no key" in str(result.exception)
    assert secret not in str(result.exception)


def test_an_expired_key_lets_nobody_in(api: TestClient, database: Database) -> None:
    secret = key_of(database, "anna", Scope.READ, expires_in_seconds=3600)
    assert api.get("/jobs", headers=bearer(secret)).status_code == 200
    with database.writing() as session:
        session.execute(update(ApiKey).values(expires_at=database_now() - 1))
    assert api.get("/jobs", headers=bearer(secret)).status_code == 401


@pytest.mark.parametrize("header", ["Bearer wrong", "Basic YTpi", "Bearer", "bearer  ", "eff_abc"])
def test_another_header_is_refused(api: TestClient, database: Database, header: str) -> None:
    key_of(database, "anna", Scope.READ)
    assert api.get("/jobs", headers={"Authorization": header}).json()["code"] == "key_invalid"


def test_the_last_use_is_written_at_most_once_a_minute(database: Database, api: TestClient) -> None:
    assert api
    key_of(database, "anna", Scope.READ)
    with database.reading() as session:
        (key,) = list_keys(session)

    def use(seconds_ago: float | None) -> float | None:
        with database.writing() as session:
            before = None if seconds_ago is None else database_now() - seconds_ago
            session.execute(update(ApiKey).values(last_used_at=before))
            was = session.execute(select(col(ApiKey.last_used_at))).scalar_one()
            note_use(session, key.id)
            now: float = session.execute(select(col(ApiKey.last_used_at))).scalar_one()
            return None if was is None else now - was

    assert use(None) is None
    assert use(59.0) == 0.0
    assert (use(61.0) or 0.0) > 60.0
    with database.reading() as session:
        assert list_keys(session)[0].last_used_at is not None


def test_a_request_notes_the_use_of_its_key(settings: Settings, database: Database) -> None:
    from app.main import create_app

    with TestClient(create_app(settings)) as api:
        api.get("/jobs", headers=bearer(key_of(database, "anna", Scope.READ)))
    with database.reading() as session:  # the service has ended: what it began is written
        assert list_keys(session)[0].last_used_at is not None


@pytest.mark.parametrize("name", ["", "Anna", "a b", "a" * 65, "-a", "ä", "admin", "local"])
def test_a_name_that_cannot_own_is_refused(database: Database, name: str) -> None:
    with database.writing() as session, pytest.raises(KeyNameInvalid):
        create_key(session, name, [Scope.SUBMIT])


# At the start


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_on_loopback_no_key_is_needed(settings: Settings, database: Database, host: str) -> None:
    assert prepare_keys(database, _on(settings, host)) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gpu-box", ""])  # noqa: S104
def test_on_a_network_a_service_without_keys_does_not_start(settings: Settings, database: Database, host: str) -> None:
    with pytest.raises(KeysNeeded) as refused:
        prepare_keys(database, _on(settings, host))
    assert "keys create" in refused.value.hint
    key_of(database, "anna", Scope.READ)
    assert prepare_keys(database, _on(settings, host)) is None


def test_a_service_behind_a_proxy_needs_keys_too(settings: Settings, database: Database) -> None:
    with pytest.raises(KeysNeeded, match="reaches faces"):
        prepare_keys(database, settings.model_copy(update={"allowed_hosts": "faces.lab"}))


def test_insecure_starts_with_a_warning_and_shows(
    settings: Settings, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    from app.main import create_app

    insecure = settings.model_copy(update={"host": "0.0.0.0", "insecure": True})  # noqa: S104
    prepare_keys(database, insecure)
    assert "INSECURE" in caplog.text
    with TestClient(create_app(insecure)) as api:
        assert api.get("/health/ready").json()["insecure"] is True
        key_of(database, "anna", Scope.READ)
        assert api.get("/health/ready").json()["insecure"] is False
        assert api.get("/jobs").status_code == 401


def test_the_first_key_is_created_once(settings: Settings, database: Database, api: TestClient) -> None:
    secret = prepare_keys(database, _on(settings, "0.0.0.0"), create_first=True)  # noqa: S104
    assert secret is not None
    assert api.get("/session", headers=bearer(secret)).json()["name"] == "admin"
    assert prepare_keys(database, _on(settings, "0.0.0.0"), create_first=True) is None  # noqa: S104


def test_the_key_in_the_file_lets_in_and_another_one_revokes_it(
    settings: Settings, database: Database, api: TestClient, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    with_file = _on(settings, "0.0.0.0").model_copy(update={"admin_key_file": file})  # noqa: S104
    first, second = "a" * 64, "b" * 64
    for secret in (first, first, second):
        file.write_text(f"{secret}\n")
        assert prepare_keys(database, with_file) is None
        assert api.get("/jobs", headers=bearer(secret)).status_code == 200
    assert api.get("/jobs", headers=bearer(first)).status_code == 401
    with database.writing() as session:
        revoke_key(session, second)
    prepare_keys(database, with_file)
    assert api.get("/jobs", headers=bearer(second)).status_code == 401, "a restart brings no revoked key back"


@pytest.mark.parametrize("content", [b"short", b"two words" * 8, b"a" * 50 + b"\n" + b"b" * 50, b"\xff" * 60])
def test_a_key_file_that_has_no_key_is_refused(
    settings: Settings, database: Database, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "key"
    file.write_bytes(content)
    with pytest.raises(AdminKeyFileInvalid):
        prepare_keys(database, settings.model_copy(update={"admin_key_file": file}))
    with pytest.raises(AdminKeyFileInvalid, match="No such file"):
        prepare_keys(database, settings.model_copy(update={"admin_key_file": tmp_path / "none"}))


def test_an_empty_key_file_is_none(settings: Settings, database: Database) -> None:
    empty = settings.model_copy(update={"admin_key_file": Path("/dev/null")})
    assert prepare_keys(database, empty, create_first=True) is not None


def _on(settings: Settings, host: str) -> Settings:
    return settings.model_copy(update={"host": host, "allowed_hosts": ""})


def test_a_service_whose_database_is_gone_lives_and_says_so(
    settings: Settings, database: Database, api: TestClient
) -> None:
    key = key_of(database, "anna", Scope.READ)
    assert api.get("/jobs", headers=bearer(key)).status_code == 200
    database.close()
    for path in settings.var_dir.glob("edgeface.sqlite*"):
        path.unlink()
    (settings.var_dir / "edgeface.sqlite").mkdir()
    assert api.get("/health/live").status_code == 200
    assert api.get("/health/ready", headers=bearer(key)).json()["database"] is False
    answer = api.get("/jobs", headers=bearer(key))
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")


def test_keys_that_the_start_makes_and_revokes_are_in_the_audit(
    api: TestClient, settings: Settings, database: Database, tmp_path: Path
) -> None:
    assert api
    file = tmp_path / "key"
    for secret in ("a" * 43, "a" * 43, "b" * 43):
        file.write_text(secret)
        prepare_keys(database, settings.model_copy(update={"admin_key_file": file}))
    with database.reading() as session:
        made = [(each.who, each.action) for each in entries(session, before=None, limit=9)]
    assert made == [("admin", action) for action in ("create key", "revoke key", "create key")]
