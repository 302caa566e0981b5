"""What belongs to another is not found, on every route; what is shared can be read and not changed."""

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select

from app.access.acting import act_for
from app.access.callers import Caller
from app.access.scopes import Scope, with_included
from app.access.tables import AuditEntry
from app.database import Database
from app.guard.route_scopes import SCOPES
from app.jobs import queries
from app.jobs.tables import Job
from app.jobs.transitions import attempts, submission
from app.main import create_app
from app.settings import Settings
from tests.integration.access.conftest import database_of
from tests.integration.conftest import CONFIG
from tests.integration.conftest import database as database
from tests.integration.conftest import database_url as database_url
from tests.integration.conftest import postgresql as postgresql
from tests.integration.conftest import postgresql_template as postgresql_template
from tests.support.access import bearer, key_of
from tests.support.datasets import write_dataset, write_edgeface

BODIES = {"PATCH": {"shared": True}}
JOB_ROUTES = [name.split() for name in SCOPES if "{job_id}" in name]
DATASET_ROUTES = [name.split() for name in SCOPES if "{dataset}" in name or "{dataset_id}" in name]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(var_dir=tmp_path_factory.mktemp("owners") / "var")
    settings.make_directories()
    for name in ("faces", "private", "folders/other"):
        write_dataset(settings.datasets_dir / name)
    write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
    with TestClient(create_app(settings)) as client:
        yield client


@pytest.fixture(scope="module")
def anna(service: TestClient) -> dict[str, str]:
    return bearer(key_of(database_of(service.app), "anna", Scope.SUBMIT, Scope.DATA))


@pytest.fixture(scope="module")
def ben(service: TestClient) -> dict[str, str]:
    return bearer(key_of(database_of(service.app), "ben", Scope.SUBMIT, Scope.DATA))


@pytest.fixture(scope="module")
def admin(service: TestClient) -> dict[str, str]:
    return bearer(key_of(database_of(service.app), "root", Scope.ADMIN))


@pytest.fixture(scope="module")
def job(service: TestClient, anna: dict[str, str]) -> str:
    """Anna's, with every file."""
    answer = service.post("/jobs", json={"dataset": "faces"}, headers=anna)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


@pytest.fixture(scope="module")
def dataset(service: TestClient, anna: dict[str, str]) -> str:
    """Anna's."""
    answer = service.post("/datasets", json={"dataset": "private"}, headers=anna)
    assert answer.status_code == 201, answer.text
    record_id: str = answer.json()["id"]
    return record_id


def ask(api: TestClient, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
    answer = api.request(method, path, json=BODIES.get(method), headers=headers)
    is_problem = answer.headers.get("content-type", "").startswith("application/problem+json")
    return answer.status_code, answer.json()["code"] if is_problem else ""


def test_every_route_of_a_job_finds_nothing_of_another(
    service: TestClient, job: str, anna: dict[str, str], ben: dict[str, str]
) -> None:
    assert len(JOB_ROUTES) > 13
    assert service.get(f"/jobs/{job}", headers=anna).json()["owner"] == "anna"  # its answer is kept ready
    for method, template in JOB_ROUTES:
        path = template.replace("{job_id}", job)
        assert ask(service, method, path, ben) == (404, "job_not_found"), f"{method} {template}"
        stream = {**ben, "Accept": "text/event-stream"}
        assert ask(service, method, path, stream)[0] == 404, f"{method} {template}"
    status = service.get(f"/jobs/{job}", headers=anna).json()["status"]
    assert status == "queued", "a refused action changed the job"


def test_every_route_of_a_dataset_finds_nothing_of_another(
    service: TestClient, dataset: str, anna: dict[str, str], ben: dict[str, str]
) -> None:
    assert len(DATASET_ROUTES) == 6
    for method, template in DATASET_ROUTES:
        for name in (dataset, "private"):
            path = re.sub(r"\{\w+\}", name, template)
            assert ask(service, method, path, ben) == (404, "dataset_not_registered"), f"{method} {path}"
    assert service.get(f"/datasets/{dataset}", headers=anna).status_code == 200


def test_lists_show_ones_own_and_what_is_shared(
    service: TestClient, job: str, dataset: str, anna: dict[str, str], ben: dict[str, str], admin: dict[str, str]
) -> None:
    def listed(headers: dict[str, str]) -> tuple[bool, bool, bool]:
        jobs = [each["id"] for each in service.get("/jobs?limit=100", headers=headers).json()["jobs"]]
        found = service.get("/datasets", headers=headers).json()
        return job in jobs, dataset in [each["id"] for each in found["datasets"]], "private" in found["names"]

    assert listed(anna) == listed(admin) == (True, True, True)
    assert listed(ben) == (False, False, False)


def test_a_private_dataset_and_private_weights_cannot_be_named(
    service: TestClient, dataset: str, job: str, ben: dict[str, str], anna: dict[str, str]
) -> None:
    assert dataset
    for path, config in (
        ("/jobs", {"dataset": "private"}),
        ("/evaluations", {"dataset": "private"}),
        ("/datasets", {"dataset": "private"}),
    ):
        answer = service.post(path, json=config, headers=ben)
        assert (answer.status_code, answer.json()["code"]) == (422, "dataset_not_found"), path
        assert "private" not in answer.json()["detail"].split("(")[1]
    assert service.post("/jobs", json={"dataset": "private"}, headers=anna).status_code == 201
    weights = {"dataset": "faces", "edgeface": f"job:{job}"}
    assert service.post("/jobs", json=weights, headers=ben).json()["code"] == "weights_job_not_found"
    assert service.post("/jobs", json=weights, headers=anna).json()["code"] == "weights_not_ready"


def test_what_is_shared_is_read_and_not_changed(
    service: TestClient, job: str, dataset: str, anna: dict[str, str], ben: dict[str, str], admin: dict[str, str]
) -> None:
    for path in (f"/jobs/{job}", f"/datasets/{dataset}"):
        assert service.patch(path, json={"shared": True}, headers=anna).json()["shared"] is True
        assert service.get(path, headers=ben).status_code == 200
    for method, template in (*JOB_ROUTES, *DATASET_ROUTES):
        path = template.replace("{job_id}", job).replace("{dataset}", dataset).replace("{dataset_id}", dataset)
        if method != "GET":
            assert ask(service, method, path, ben) == (403, "not_owner"), f"{method} {template}"
    assert service.post("/datasets", json={"dataset": "private"}, headers=ben).json()["code"] == "not_owner"
    for path in (f"/jobs/{job}", f"/datasets/{dataset}"):
        assert service.patch(path, json={"shared": False}, headers=admin).json()["shared"] is False
        assert service.get(path, headers=ben).status_code == 404


def test_a_record_that_a_job_made_is_shared(service: TestClient, job: str, ben: dict[str, str]) -> None:
    assert job
    record = service.get("/datasets/faces", headers=ben).json()
    assert (record["owner"], record["shared"]) == ("admin", True)


def test_idempotency_keys_of_two_owners_are_two(service: TestClient, anna: dict[str, str], ben: dict[str, str]) -> None:
    key = {"Idempotency-Key": "once"}
    first = service.post("/jobs", json={"dataset": "faces"}, headers=anna | key)
    other = service.post("/jobs", json={"dataset": "faces", "seed": 7}, headers=ben | key)
    again = service.post("/jobs", json={"dataset": "faces"}, headers=anna | key)
    assert (first.status_code, other.status_code, again.status_code) == (201, 201, 200)
    assert again.json()["id"] == first.json()["id"] != other.json()["id"]


def test_a_priority_above_0_needs_an_admin(service: TestClient, anna: dict[str, str], admin: dict[str, str]) -> None:
    for path, config in (("/jobs", {"dataset": "faces"}), ("/datasets", {"dataset": "faces"})):
        answer = service.post(f"{path}?priority=1", json=config, headers=anna)
        assert (answer.status_code, answer.json()["code"]) == (403, "priority_needs_admin")
    assert service.post("/jobs?priority=-1", json={"dataset": "faces"}, headers=anna).status_code == 201
    assert service.post("/jobs?priority=1", json={"dataset": "faces"}, headers=admin).status_code == 201


def test_changes_are_in_the_audit_with_who_and_from_where(
    service: TestClient, job: str, dataset: str, anna: dict[str, str], ben: dict[str, str], admin: dict[str, str]
) -> None:
    for path in (f"/datasets/{dataset}", f"/jobs/{job}"):
        for shared in (True, False):
            service.patch(path, json={"shared": shared}, headers=anna)
    service.post(f"/jobs/{job}/pause", headers=anna)
    service.post(f"/jobs/{job}/cancel", headers=ben)  # refused: no change
    entries = service.get("/audit?limit=1000", headers=admin).json()["entries"]
    entry = next(each for each in entries if each["action"] != "refused")
    assert (entry["who"], entry["action"], entry["target"]) == ("anna", "pause", f"/jobs/{job}")
    assert entry["address"] == "testclient"
    assert entry["key_id"]
    page = service.get("/audit?limit=1", headers=admin).json()
    assert page["entries"] == entries[:1]
    older = service.get(f"/audit?limit=1000&cursor={page['next_cursor']}", headers=admin).json()
    assert {"submit", "register", "share", "unshare"} <= {each["action"] for each in older["entries"]}
    assert [each["id"] for each in older["entries"]] == sorted((each["id"] for each in older["entries"]), reverse=True)
    service.post(f"/jobs/{job}/resume", headers=anna)


def test_a_stream_ends_when_it_may_no_longer_be_read(service: TestClient, job: str) -> None:
    feeds = service.app.state.service.feeds  # type: ignore[attr-defined]

    async def read() -> int:
        async def nobody(_: object) -> bool:
            return False

        return len([frame async for frame in feeds.stream(job, 0, nobody)])

    assert service.portal is not None
    assert service.portal.call(read) == 1  # how to reconnect, and no event


# On both databases


def submit_as(database: Database, owner: str) -> str:
    with database.writing() as session:
        act_for(session, Caller(owner, with_included([Scope.SUBMIT])))
        return submission.submit(session, CONFIG, []).id


def claim_next(database: Database) -> str | None:
    with database.reading() as session:
        job = queries.next_queued(session)
    if job is None:
        return None
    with database.writing() as session:
        claimed = attempts.claim(session, job.id, "worker-1", 30.0)
        assert claimed is not None
    return job.id


@pytest.mark.postgresql
def test_owners_take_turns(database: Database) -> None:
    jobs = {owner: [submit_as(database, owner) for _ in range(3)] for owner in ("anna", "ben", "cleo")}
    late = submit_as(database, "anna")
    expected = [jobs[owner][turn] for turn in range(3) for owner in jobs] + [late]
    with database.reading() as session:
        positions = [queries.queue_position(session, queries.get(session, job_id)) for job_id in expected]
    assert positions == list(range(1, 11))
    assert [claim_next(database) for _ in range(11)] == [*expected, None]


@pytest.mark.postgresql
def test_an_owner_who_comes_late_need_not_wait_for_all_of_another(database: Database) -> None:
    many = [submit_as(database, "anna") for _ in range(5)]
    assert claim_next(database) == many[0]
    late = submit_as(database, "ben")
    with database.reading() as session:
        assert queries.queue_position(session, queries.get(session, late)) == 1
        assert queries.queue_position(session, queries.get(session, many[1])) == 2
    assert [claim_next(database) for _ in range(3)] == [late, many[1], many[2]]


@pytest.mark.postgresql
def test_a_key_names_one_job_of_each_owner(database: Database) -> None:
    from sqlalchemy.exc import IntegrityError

    def submit(owner: str) -> None:
        with database.writing() as session:
            act_for(session, Caller(owner, frozenset()))
            submission.submit(session, CONFIG, [], idempotency_key="once")

    submit("anna")
    submit("ben")
    with pytest.raises(IntegrityError):
        submit("anna")


def test_an_entry_of_the_audit_is_part_of_the_change(database: Database) -> None:
    def fail() -> None:
        with database.writing() as session:
            submission.submit(session, CONFIG, [])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.reading() as session:
        assert session.exec(select(AuditEntry)).all() == []
        assert session.exec(select(Job)).all() == []


def test_a_dataset_of_an_upload_belongs_to_who_sent_it(database: Database) -> None:
    from app.datasets.imports import record_import
    from app.finetune.dataset_import_config import DatasetImportConfig
    from app.finetune.events import DatasetImported
    from app.finetune.job_kinds import DATASET_IMPORT
    from app.finetune.listing import Listing
    from app.jobs.tables import Dataset, Upload

    with database.writing() as session:
        upload = Upload(id="a" * 24, owner="anna", name="x.zip", length=1, resumable=True, created_at=0, expires_at=9e9)
        session.add(upload)
        act_for(session, Caller("anna", frozenset()))
        config = DatasetImportConfig(name="mine", upload=upload.id)
        job_id = submission.submit(session, config, [], kind=DATASET_IMPORT).id
    with database.writing() as session:
        made = DatasetImported("mine", "guide", Listing(parts={}), images=1, bytes=1, left_out=0, sha256="0" * 64)
        record_import(session, job_id, made)
    with database.reading() as session:
        record = session.exec(select(Dataset)).one()
        assert (record.owner, record.shared) == ("anna", False)
        assert {job.owner for job in session.exec(select(Job))} == {"anna"}
