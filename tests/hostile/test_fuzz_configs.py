"""Configs changed at random, sent to the service: whatever a body says, it is accepted, or refused by a problem that
says what to do, and nothing is an error of the service.

`corpus/configs` has the bodies that it starts from, `PATH.NAME.json` each: a body that once was an error of the service
is added there, and is tried first.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.finetune.job_kinds import KINDS
from app.main import create_app
from app.settings import Settings
from tests.support.changed_bytes import FUZZED, Changes, changed, changes_of
from tests.support.datasets import write_dataset, write_edgeface

CORPUS = sorted((Path(__file__).parent / "corpus" / "configs").iterdir())
PATHS = {"jobs": "/jobs?dry_run=true", "evaluations": "/evaluations", "dsr": "/dsr-trainings", "datasets": "/datasets"}
PIECES = [
    *(text.encode() for text in ('"', "{", "}", "[", "]", ":", ",", "\\", "\\ud800", "\\u0000", "1e999", "-1", "NaN")),
    *(text.encode() for text in ("Infinity", "null", "true", "0.1e-400", "9" * 400, "[" * 2000, '{"a":' * 2000)),
    *(text.encode() for text in ("job:", "../", "/etc/passwd", "\ufeff", "é", "(a+)+$", "__class__")),
    b"\xff",
    b"\x00",
    b"\xfe\xff\x00{",
]
FIELDS = sorted({name for kind in KINDS.values() for name in kind.config.model_fields})

seeds = st.sampled_from(range(len(CORPUS)))
edits = changes_of(PIECES)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["job:1", "faces"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
fields = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=12), values, max_size=4)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("fuzz") / "var"
    service = Settings(var_dir=folder, rate_of_writes="", max_queued_jobs=100_000)
    service.make_directories()
    write_dataset(service.datasets_dir / "faces")
    write_edgeface(service.weights_dir / "edgeface_xxs.pt")
    with TestClient(create_app(service)) as client:
        yield client


def send(api: TestClient, seed: Path, body: bytes) -> None:
    """Raises what the service does not expect."""
    path = PATHS[seed.name.partition(".")[0]]
    answer = api.post(path, content=body, headers={"Content-Type": "application/json", "Host": "localhost"})
    if answer.status_code in (200, 201, 202):
        return
    assert answer.status_code in (404, 409, 413, 422), answer.text
    problem = answer.json()
    assert problem["detail"]
    assert problem["hint"]
    assert len(answer.content) < 20_000


def with_fields(body: bytes, added: dict[str, Any]) -> bytes:
    return json.dumps({**json.loads(body), **added}).encode()


@pytest.mark.parametrize("seed", CORPUS, ids=lambda seed: seed.name)
def test_no_config_of_the_corpus_is_an_error_of_the_service(seed: Path, api: TestClient) -> None:
    send(api, seed, seed.read_bytes())


@settings(FUZZED, max_examples=30)
@given(seed=seeds, changes=edits)
@example(seed=0, changes=[])
def test_few_changed_configs_are_no_error_of_the_service(seed: int, changes: Changes, api: TestClient) -> None:
    send(api, CORPUS[seed], changed(CORPUS[seed].read_bytes(), changes))


def valid_seeds() -> list[Path]:
    return [seed for seed in CORPUS if ".valid" in seed.name]


@pytest.mark.slow
@settings(FUZZED, max_examples=800)
@given(seed=seeds, changes=edits)
def test_no_changed_config_is_an_error_of_the_service(seed: int, changes: Changes, api: TestClient) -> None:
    send(api, CORPUS[seed], changed(CORPUS[seed].read_bytes(), changes))


@pytest.mark.slow
@settings(FUZZED, max_examples=800)
@given(seed=st.sampled_from(valid_seeds()), added=fields)
def test_no_value_of_a_field_is_an_error_of_the_service(seed: Path, added: dict[str, Any], api: TestClient) -> None:
    send(api, seed, with_fields(seed.read_bytes(), added))


@pytest.mark.nightly
@settings(FUZZED, max_examples=6_000)
@given(seed=st.sampled_from(valid_seeds()), added=fields, changes=edits)
def test_no_config_is_an_error_of_the_service_in_two_minutes(
    seed: Path, added: dict[str, Any], changes: Changes, api: TestClient
) -> None:
    send(api, seed, changed(with_fields(seed.read_bytes(), added), changes))
