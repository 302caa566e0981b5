"""Requests that schemathesis makes of the API's description: no answer that it does not name, no route open without a
key."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.python import asgi

from app.access.scopes import Scope
from app.guard.route_scopes import OPEN, SCOPES
from app.jobs.states import JobStatus
from app.main import create_app
from app.settings import Settings
from app.uploads.protocol import CONTENT_TYPE
from tests.integration.access.conftest import database_of
from tests.support.access import bearer, key_of
from tests.support.datasets import write_dataset, write_edgeface
from tests.support.job_files import JobFiles

EXAMPLES = 4
"""Of each operation, for each way to make its parameters."""

BODIES = {"POST /jobs": {"dataset": "faces"}, "POST /datasets": {"dataset": "faces"}}
"""Bodies that are accepted. Generated ones name files that do not exist."""

schemathesis.checks.load_all_checks()
_CHECKS: list[Any] = schemathesis.checks.CHECKS.get_all()


def _left_out(operation: str, status: int, *, keys: bool) -> set[str]:
    """Names of the checks that an answer need not pass."""
    names = {"positive_data_acceptance"}  # a dataset or a job that a valid request names need not exist
    if not keys:
        names.add("ignored_auth")
    if operation == "GET /health/ready":
        names.add("not_a_server_error")
    if status in (411, 412):  # so tus refuses, which schemathesis does not know
        names |= {"negative_data_rejection", "missing_required_header"}
    if status == 414:  # invalid values in an address that is too long
        names.add("negative_data_rejection")
    return names


# Without all types.
_ASGI: Any = asgi
_GIVEN: Any = given
_SETTINGS: Any = hypothesis_settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@schemathesis.serializer(CONTENT_TYPE)
def _as_bytes(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


class Described:
    """A service with a job that has a checkpoint, a client of it, and its description."""

    def __init__(self, settings: Settings, *, keys: bool) -> None:
        settings.make_directories()
        write_dataset(settings.datasets_dir / "faces")
        write_edgeface(settings.weights_dir / "edgeface_xxs.pt")
        self.app: FastAPI = create_app(settings)
        database = database_of(self.app)
        job = JobFiles(database, settings.artifacts_dir)
        job.checkpoint(1)
        job.end(JobStatus.SUCCEEDED)
        self.names = {"job_id": job.id, "dataset": "faces"}
        self.headers = bearer(key_of(database, "root", Scope.ADMIN)) if keys else {}
        self.schema = schemathesis.openapi.from_asgi("/openapi.json", self.app)
        self.operations = [cast("Any", found).ok() for found in self.schema.get_all_operations()]

    def check(self, case: Case[Any]) -> None:
        answer = case.call(headers=self.headers)
        left_out = _left_out(case.operation.label, answer.status_code, keys=bool(self.headers))
        case.validate_response(answer, checks=[check for check in _CHECKS if check.__name__ not in left_out])


@pytest.fixture(scope="module", params=["without keys", "with keys"])
def described(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path
) -> Iterator[Described]:
    settings = Settings(var_dir=tmp_path_factory.mktemp("described") / "var", worker_seen_seconds=1.0)
    settings.make_directories()
    shutil.copyfile(sqlite_template, settings.var_dir / "edgeface.sqlite")
    yield Described(settings, keys=request.param == "with keys")
    _ASGI.shutdown_lifespans()


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mode", GenerationMode)
def test_no_request_is_answered_as_the_description_does_not_say(described: Described, mode: GenerationMode) -> None:
    for operation in described.operations:
        names = {name: value for name, value in described.names.items() if f"{{{name}}}" in operation.path}
        ways: list[dict[str, Any]] = [{}]
        ways += [{"path_parameters": names}] if names else []
        if mode is GenerationMode.POSITIVE and operation.label in BODIES:
            ways.append({"body": BODIES[operation.label], "media_type": "application/json"})
        for way in ways:
            try:
                _SETTINGS(_GIVEN(operation.as_strategy(generation_mode=mode, **way))(described.check))()
            except Unsatisfiable:  # nothing in a request for it can be wrong
                assert not operation.definition.raw.get("parameters")
                assert "requestBody" not in operation.definition.raw


@pytest.mark.slow
@pytest.mark.parametrize("described", ["with keys"], indirect=True)
def test_no_operation_is_open_without_a_key(described: Described) -> None:
    with _ASGI.get_client(described.app) as client:
        for operation in described.operations:
            url = "http://testserver" + re.sub(r"\{\w+\}", described.names["job_id"], operation.path)
            status = client.request(operation.method, url).status_code
            assert (status == 401) == (SCOPES[operation.label] is not OPEN), f"{operation.label}: {status}"
