"""Version 0.1's rows, events, saved states and checkpoints stay readable, and its trainings resume bit-equal.

The data is made by version 0.1 itself, in a worktree of commit 71914f9; version_0_1.py runs there.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

from app.finetune.deprecations import RENAMED_FIELDS, current_value
from tests.system.conftest import Machine, wait_until

COMMIT = "71914f9"
REPOSITORY = Path(__file__).parents[2]
MAKE = Path(__file__).with_name("version_0_1.py")
END_SECONDS = 400.0
CHANGES_WITH_TIME = {"waiting_for"}
SUMMED_OVER_PAIRS = {"val_genuine_similarity", "val_impostor_similarity", "val_d_prime"}
MEASURED_BY_THE_CLOCK = {"seconds", "images_per_second"}


@dataclass(frozen=True)
class OldService:
    """A `var/` of version 0.1, its jobs' ids by name, the path and config of each training, and answers by path."""

    var: Path
    jobs: dict[str, str]
    trainings: dict[str, tuple[str, dict[str, Any]]]
    answers: dict[str, Any]

    @property
    def paused(self) -> dict[str, str]:
        """The name of each paused job, and of the same training uninterrupted."""
        return {name: name.partition(":")[0] for name in self.jobs if ":" in name}


@pytest.fixture
def worktree(tmp_path: Path) -> Iterator[Path]:
    """Version 0.1 checked out."""
    folder = tmp_path / "version-0.1"
    added = _git("worktree", "add", "--detach", str(folder), COMMIT)
    if added.returncode != 0:
        pytest.fail(f"commit {COMMIT} cannot be checked out; a shallow clone lacks it: {added.stderr.strip()}")
    yield folder
    _git("worktree", "remove", "--force", str(folder))


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False)


@pytest.fixture
def old(worktree: Path, tmp_path: Path) -> OldService:
    var, answers = tmp_path / "var", tmp_path / "answers.json"
    made = subprocess.run(
        [sys.executable, str(MAKE), str(var), str(answers)],
        cwd=worktree,
        env=os.environ | {"PYTHONPATH": str(worktree)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return OldService(var, **json.loads(answers.read_text()))


@pytest.fixture
def machine(old: OldService) -> Iterator[Machine]:
    """Today's service, on the old `var/`."""
    machine = Machine(old.var, {})
    yield machine
    machine.close()


@pytest.fixture
def api(machine: Machine) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=machine.url, timeout=30.0) as client:
        yield client


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_service_of_version_0_1_is_read_and_its_trainings_resume_bit_equal(
    old: OldService, machine: Machine, api: httpx2.Client
) -> None:
    machine.start("api")
    wait_until(lambda: _answers(api), 90.0, machine.log)
    check_that_all_is_listed(old, api)
    check_answers(old, api)
    check_downloads(old, api)
    check_that_an_old_idempotency_key_is_known(old, api)

    for name in old.paused:
        assert api.post(f"/jobs/{old.jobs[name]}/resume").json()["status"] == "queued"
    evaluation = evaluate_old_files(old, api)
    machine.start("worker")
    for job_id in [*(old.jobs[name] for name in old.paused), old.jobs["queued"], evaluation]:
        wait_until(lambda job_id=job_id: _job(api, job_id)["terminal"], END_SECONDS, machine.log)  # type: ignore[misc]
    for name, uninterrupted in {**old.paused, "queued": "guide"}.items():
        check_result(old, api, name, uninterrupted)
    assert _job(api, old.jobs["queued evaluation"])["status"] == "succeeded"
    assert _curves(api, old.jobs["queued evaluation"]) == _curves(api, old.jobs["evaluation"])
    job = _job(api, evaluation)
    assert job["status"] == "succeeded", job["error"]
    check_that_keys_open_what_is_old_to_read(old, machine, api)


def check_that_keys_open_what_is_old_to_read(old: OldService, machine: Machine, api: httpx2.Client) -> None:
    """What version 0.1 made is shared and belongs to an admin; what was made since is private."""
    key = machine.run("keys", "create", "anna", "--scope", "submit").stdout.strip()
    assert api.get("/jobs").status_code == 401
    api.headers["Authorization"] = f"Bearer {key}"
    check_that_all_is_listed(old, api)
    check_downloads(old, api)
    refused = api.post(f"/jobs/{old.jobs['guide']}/pin")
    assert (refused.status_code, refused.json()["code"]) == (403, "not_owner")


def _answers(api: httpx2.Client) -> bool:
    try:
        return api.get("/health/live").status_code == 200
    except httpx2.TransportError:
        return False


def _job(api: httpx2.Client, job_id: str) -> dict[str, Any]:
    job: dict[str, Any] = api.get(f"/jobs/{job_id}").json()
    return job


def check_that_all_is_listed(old: OldService, api: httpx2.Client) -> None:
    kinds = ("finetuning", "measurement", "evaluation", "dsr_training")
    pages = [api.get("/jobs", params={"kind": kind, "limit": 100}).json()["jobs"] for kind in kinds]
    assert sorted(job["id"] for page in pages for job in page) == sorted(old.jobs.values())


def check_answers(old: OldService, api: httpx2.Client) -> None:
    """Every field that version 0.1 answered is answered with the same value; there may be more."""
    for path, answer in old.answers.items():
        assert differences(answer, api.get(path).json(), path) == []


def differences(old: Any, new: Any, place: str) -> list[str]:
    """Where `new` lacks a field of `old` or has another value. A config has the current names of its fields."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            found
            for name, value in old.items()
            if name not in CHANGES_WITH_TIME
            for found in differences(
                value, new.get(name, new.get(RENAMED_FIELDS.get(name, name), "missing")), f"{place} {name}"
            )
        ]
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        return [found for number, pair in pairs for found in differences(*pair, f"{place} {number}")]
    # The one value that has another name now; a kind of job cannot be answered under both.
    expected = current_value("kind", old) if place.endswith(" kind") and isinstance(old, str) else old
    return [] if expected == new else [f"{place}: {old!r} became {new!r}"]


def check_downloads(old: OldService, api: httpx2.Client) -> None:
    """Each checkpoint and each report is served whole."""
    formats = {}
    for name, job_id in old.jobs.items():
        checkpoint = _job(api, job_id)["checkpoint"] or {}
        formats[name] = [format_ for format_ in ("full", "backbone") if checkpoint.get(format_) is not None]
        for format_ in formats[name]:
            answer = api.get(f"/jobs/{job_id}/checkpoint", params={"format": format_})
            assert hashlib.sha256(answer.content).hexdigest() == checkpoint[format_]["sha256"], name
    assert formats["guide"] == formats["recommended"] == ["full", "backbone"]
    assert formats["dsr"] == ["full"]
    for name in ("guide", "evaluation"):
        assert api.get(f"/jobs/{old.jobs[name]}/report").text.startswith("<!doctype html>"), name


def check_that_an_old_idempotency_key_is_known(old: OldService, api: httpx2.Client) -> None:
    for name, (path, config) in old.trainings.items():
        repeated = api.post(path, json=config, headers={"Idempotency-Key": name})
        assert (repeated.status_code, repeated.json()["id"]) == (200, old.jobs[name]), repeated.text


def evaluate_old_files(old: OldService, api: httpx2.Client) -> str:
    """The id of a new evaluation that reads version 0.1's checkpoints as a user's files."""
    for name, file in {"guide": "edgeface_finetuned.pth", "dsr": "dsr.pth"}.items():
        (old.var / "weights" / file).write_bytes(api.get(f"/jobs/{old.jobs[name]}/checkpoint").content)
    config = {"dataset": "drawn", "edgeface": "edgeface_finetuned.pth", "dsr": "dsr.pth", "device": "cpu"}
    answer = api.post("/evaluations", json=config)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["id"]
    return job_id


def check_result(old: OldService, api: httpx2.Client, name: str, uninterrupted: str) -> None:
    """The job ended as version 0.1's uninterrupted training did, to the last bit."""
    job, expected = _job(api, old.jobs[name]), _job(api, old.jobs[uninterrupted])
    assert job["status"] == "succeeded", f"{name}: {job['error']}"
    for when in ("before", "after"):
        assert job["recognition"][when] == expected["recognition"][when], name
    assert _metrics(api, job["id"]) == _nearly(_metrics(api, expected["id"])), name
    events = api.get(f"/jobs/{job['id']}/events").json()["events"]
    assert [event["number"] for event in events] == list(range(1, len(events) + 1)), name
    for format_ in ("full", "backbone"):
        if expected["checkpoint"].get(format_) is not None:
            ours, theirs = _tensors(api, job["id"], format_), _tensors(api, expected["id"], format_)
            assert ours.keys() == theirs.keys(), name
            different = [key for key in ours if not torch.equal(ours[key], theirs[key])]
            assert different == [], name


def _metrics(api: httpx2.Client, job_id: str) -> list[dict[str, Any]]:
    epochs = api.get(f"/jobs/{job_id}/metrics").json()["epochs"]
    return [{key: value for key, value in epoch.items() if key not in MEASURED_BY_THE_CLOCK} for epoch in epochs]


def _nearly(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Version 0.2 summed over pairs by NumPy, in another order than PyTorch."""
    return [
        {
            key: pytest.approx(value, rel=1e-5, abs=1e-6) if value and key in SUMMED_OVER_PAIRS else value
            for key, value in epoch.items()
        }
        for epoch in epochs
    ]


def _curves(api: httpx2.Client, job_id: str) -> list[Any]:
    """The ROC curve and the histogram of each comparison of an evaluation."""
    comparisons = api.get(f"/jobs/{job_id}/evaluation").json()["comparisons"]
    assert comparisons
    return [(each["verification"]["roc"], each["verification"]["histogram"]) for each in comparisons]


def _tensors(api: httpx2.Client, job_id: str, format_: str) -> dict[str, torch.Tensor]:
    answer = api.get(f"/jobs/{job_id}/checkpoint", params={"format": format_})
    assert answer.status_code == 200, answer.text
    found = dict(_flat(torch.load(io.BytesIO(answer.content), weights_only=True)))
    assert len(found) > 10
    return found


def _flat(content: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, torch.Tensor):
            yield f"{prefix}{key}", value
