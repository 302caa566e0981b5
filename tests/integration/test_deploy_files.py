"""Dashboard and alerts ask for nothing that /metrics lacks, and docs/operations.md lists each of its metrics."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from app.database import Database
from app.finetune.gpus import GpuReport
from app.jobs.states import JobStatus
from app.jobs.transitions import rounds
from app.main import create_app
from app.settings import Settings
from tests.integration.conftest import job_that_is
from tests.integration.test_prometheus import GPU

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "edgeface.json").read_text())
ALERTS = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
PAGE = (ROOT / "docs" / "operations.md").read_text()

EXPRESSIONS = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
EXPRESSIONS += re.findall(r"expr: (.*)", ALERTS)
_METRIC = re.compile(r"\bedgeface_\w+")


@pytest.fixture(scope="module")
def series(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, set[str]]]:
    """The labels of each metric of a service that has done everything once."""
    folder = tmp_path_factory.mktemp("var")
    (folder / "edgeface.sqlite").write_bytes(sqlite_template.read_bytes())
    settings = Settings(var_dir=folder)
    database = Database(settings.database_url)
    job_that_is(database, JobStatus.SUCCEEDED)
    with database.writing() as session:
        rounds.report_worker(session, "worker", "host", GpuReport(gpus=(GPU,)))
    database.close()
    with TestClient(create_app(settings)) as client:
        client.get("/jobs/unknown")
        page = client.get("/metrics").text
    found: dict[str, set[str]] = {"edgeface_database_errors_total": {"error"}}  # none has happened
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    yield found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_an_expression_names_metrics_and_labels_that_exist(expression: str, series: dict[str, set[str]]) -> None:
    names = _METRIC.findall(expression)
    assert set(names) <= set(series) or expression.startswith("up{")
    labels = set(re.findall(r"[{,]\s*(\w+)\s*=", expression))
    for grouped in re.findall(r"by \(([^)]*)\)", expression):
        labels |= {each.strip() for each in grouped.split(",")}
    known = set().union(*(series[name] for name in names)) | {"instance", "job"}
    assert labels <= known


def test_the_page_lists_every_metric(series: dict[str, set[str]]) -> None:
    listed = set(_METRIC.findall(PAGE.split("## Metrics")[1].split("\n## ")[0]))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in series if "_created" not in name}
    assert {name for name in families if not name.startswith("edgeface_api_process_")} <= listed


def test_the_panels_have_places_of_their_own() -> None:
    places = [tuple(panel["gridPos"][key] for key in "xywh") for panel in DASHBOARD["panels"]]
    taken = [(column, row) for x, y, w, h in places for column in range(x, x + w) for row in range(y, y + h)]
    assert len(taken) == len(set(taken))
    assert max(column for column, _ in taken) < 24
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
