"""GET /jobs/{id}/comparisons/{other}: the difference between two jobs, with the paired interval."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from app.finetune.checkpoint import WrittenFile
from app.finetune.evaluation import Evaluation
from app.finetune.evaluation_config import EvaluationConfig
from app.jobs.transitions import recording
from app.main import create_app
from app.settings import Settings
from tests.integration.test_api import refused, run, service
from tests.unit.training.support import write_drawn_split
from worker.training.evaluation.evaluate_backbone import evaluate_backbone
from worker.training.models.edgeface import new_edgeface
from worker.training.storage.paths import EvaluationFiles


@pytest.fixture(scope="module")
def evaluations(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Evaluation]:
    """Two backbones alone and together, on six people; one of them on five of these."""
    folder = tmp_path_factory.mktemp("comparisons")
    write_drawn_split(folder / "val", range(6), range(3))
    write_drawn_split(folder / "others", range(5), range(3))
    for seed in (1, 2):
        torch.save(new_edgeface("edgeface_xxs", seed=seed).state_dict(), folder / f"{seed}.pt")

    def evaluate(part: str, weights: int, before: int | None = None) -> Evaluation:
        config = EvaluationConfig.model_validate({"eval_dir": "val", "device": "cpu", "num_workers": 0})
        earlier = None if before is None else folder / f"{before}.pt"
        return evaluate_backbone(config, EvaluationFiles(folder / part, folder / f"{weights}.pt", earlier)).evaluation

    return {
        "first": evaluate("val", 1),
        "second": evaluate("val", 2),
        "together": evaluate("val", 2, before=1),
        "others": evaluate("others", 2),
    }


@pytest.fixture
def api(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client


def job_with(api: TestClient, settings: Settings, evaluation: Evaluation) -> str:
    job_id: str = api.post("/evaluations", json={"dataset": "faces"}).json()["id"]
    claim = run(service(api).database)
    key, content = f"{job_id}/attempt-1/evaluation.json", evaluation.model_dump_json().encode()
    path = settings.artifacts_dir / key
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    file = WrittenFile(Path(key), len(content), sha256(content).hexdigest())
    with service(api).database.writing() as session:
        recording.record_evaluation(session, claim, epoch=0, files={"evaluation": file})
    return job_id


def test_the_interval_is_that_of_one_evaluation_of_both(
    api: TestClient, settings: Settings, evaluations: dict[str, Evaluation]
) -> None:
    first, second = (job_with(api, settings, evaluations[name]) for name in ("first", "second"))
    found: dict[str, Any] = api.get(f"/jobs/{first}/comparisons/{second}").json()
    (change,) = evaluations["together"].changes
    assert change.difference.interval is not None
    assert found["measure"] == change.measure == "TAR@FAR=10%"
    assert (found["outcome"], found["people"]) == (change.outcome, 6)
    assert found["of_job"] == change.baseline.model_dump()
    assert found["of_other"] == change.achieved.model_dump()
    assert found["difference"]["value"] == pytest.approx(change.difference.value)
    assert found["difference"]["interval"] == pytest.approx(change.difference.interval.model_dump(), abs=1e-5)
    back = api.get(f"/jobs/{second}/comparisons/{first}").json()["difference"]
    assert back["interval"]["low"] == pytest.approx(-found["difference"]["interval"]["high"])
    same = api.get(f"/jobs/{first}/comparisons/{first}").json()
    assert (same["difference"]["value"], same["outcome"]) == (0.0, "not distinguishable")


def test_what_cannot_be_compared_is_refused(
    api: TestClient, settings: Settings, evaluations: dict[str, Evaluation]
) -> None:
    first, others = (job_with(api, settings, evaluations[name]) for name in ("first", "others"))
    problem = refused(api.get(f"/jobs/{first}/comparisons/{others}"), 409, "not_comparable")
    assert "other people or photos" in problem["detail"]
    old = job_with(api, settings, evaluations["second"].model_copy(update={"paired": None}))
    assert "too few subjects" in refused(api.get(f"/jobs/{first}/comparisons/{old}"), 409, "not_comparable")["detail"]
    none = api.post("/jobs", json={"dataset": "faces"}).json()["id"]
    refused(api.get(f"/jobs/{first}/comparisons/{none}"), 409, "not_evaluated")
    refused(api.get(f"/jobs/{first}/comparisons/{'0' * 24}"), 404, "job_not_found")
