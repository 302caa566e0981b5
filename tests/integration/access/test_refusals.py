"""Refused attempts are in the audit, counted: a flood of them does not fill the database."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlmodel import Session, col, select

from app.access import audit
from app.access.scopes import Scope
from app.access.tables import AuditEntry
from app.database import Database
from app.guard.refusals import MOST_KINDS
from tests.support.access import bearer, key_of


@pytest.fixture
def admin(database: Database) -> dict[str, str]:
    return bearer(key_of(database, "root", Scope.ADMIN))


def refused(api: TestClient, admin: dict[str, str]) -> list[dict[str, Any]]:
    entries = api.get("/audit?limit=1000", headers=admin).json()["entries"]
    return [each for each in entries if each["action"] == audit.REFUSED]


def test_every_kind_of_refusal_is_in_the_audit(api: TestClient, database: Database, admin: dict[str, str]) -> None:
    reader = bearer(key_of(database, "ben", Scope.READ))
    for _ in range(3):
        assert api.get("/jobs").status_code == 401
    assert api.get("/weights", headers=bearer("eff_wrong")).status_code == 401
    assert api.post("/session", json={"key": "eff_wrong"}).status_code == 401
    assert api.get("/audit", headers=reader).status_code == 403
    assert api.get("/jobs", headers={"Host": "evil.example"}).status_code == 421
    assert api.post("/jobs", headers={"Origin": "https://evil.example"}).status_code == 403
    found = {
        (each["details"]["code"], each["target"], each["who"]): each["details"]["times"] for each in refused(api, admin)
    }
    assert found == {
        ("key_missing", "/jobs", ""): 3,
        ("key_invalid", "/weights", ""): 2,
        ("scope_missing", "/audit", "ben"): 1,
        ("host_refused", "/jobs", ""): 1,
        ("cross_site_refused", "/jobs", ""): 1,
    }
    assert all(each["address"] == "testclient" for each in refused(api, admin))


def test_a_flood_from_many_addresses_takes_few_rows(
    api: TestClient, application: FastAPI, admin: dict[str, str]
) -> None:
    flood = [TestClient(application, client=(f"10.0.{number}.1", 1)) for number in range(2 * MOST_KINDS)]
    for stranger in flood:
        for _ in range(2):
            assert stranger.get("/jobs/" + "x" * 5000).status_code == 401
    found = refused(api, admin)
    assert len(found) == MOST_KINDS + 1
    assert sum(each["details"]["times"] for each in found) == 2 * len(flood)
    assert [each["details"]["times"] for each in found if each["address"] == "others"] == [2 * MOST_KINDS]
    assert max(len(each["target"]) for each in found) <= 200


def test_what_was_counted_is_written_at_the_end_of_the_service(application: FastAPI, database: Database) -> None:
    with TestClient(application) as api:
        assert api.get("/jobs", headers={"Host": "evil.example"}).status_code == 421
        with database.reading() as session:
            assert not _actions(session)
    with database.reading() as session:
        assert _actions(session) == [audit.REFUSED]


def test_old_refusals_give_way_and_changes_stay(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "MOST_REFUSED", 2)
    with database.writing() as session:
        for action in (audit.REFUSED, "delete", audit.REFUSED, audit.REFUSED, audit.REFUSED):
            audit.note(session, action, "/jobs")
    audit.forget_old(database, days=0)
    with database.reading() as session:
        assert _actions(session) == ["delete", audit.REFUSED, audit.REFUSED]


def _actions(session: Session) -> list[str]:
    return list(session.exec(select(AuditEntry.action).order_by(col(AuditEntry.id))))
