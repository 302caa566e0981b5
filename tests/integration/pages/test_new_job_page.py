"""The form of a new job: its fields come from the schema of the config."""

import html
import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, update

from app.access.scopes import Scope
from app.database import Database
from app.finetune.config import FinetuneConfig
from app.finetune.recipes import RECIPES
from app.jobs.states import JobStatus
from app.jobs.tables import Job
from app.pages.form_fields import LABELS, form_fields
from tests.integration.conftest import job_that_is
from tests.integration.pages.conftest import Visit
from tests.support.access import bearer, key_of
from tests.support.datasets import write_dataset


def _values(page: str) -> dict[str, str]:
    """The value of each control of the form, as a browser reads it."""
    found = dict(re.findall(r'<input class="input" id="(\w+)" name="\w+" value="([^"]*)"', page))
    for name, options in re.findall(r'<select class="input" id="(\w+)".*?>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option(?: value="([^"]*)")? selected>([^<]*)', options)
        found[name] = "" if chosen is None else (chosen[1] or chosen[2])
    found |= dict(re.findall(r'<textarea[^>]* id="(\w+)"[^>]*>([^<]*)</textarea>', page))
    return {name: html.unescape(value) for name, value in found.items()}


def test_every_field_of_the_config_has_a_label_a_meaning_and_the_defaults_of_all_recipes(visit: Visit) -> None:
    page = visit("/ui/new").text
    fields = form_fields(FinetuneConfig, {})
    assert {"recipe", *fields} == set(FinetuneConfig.model_fields)
    assert fields.keys() <= LABELS.keys()
    for name, field in fields.items():
        assert field.meaning
        assert re.search(rf'<label for="{name}">{re.escape(field.label)}</label>', page)
        assert re.search(rf' id="{name}" name="{name}".*? aria-describedby="{name}-e {name}-h"', page)
        shown = re.search(rf' id="{name}" .*?data-defaults="([^"]*)"', page)
        assert shown is not None
        assert json.loads(html.unescape(shown[1])) == field.defaults
    for recipe in RECIPES:
        config = FinetuneConfig.model_validate({"dataset": "x", "recipe": recipe}).model_dump()
        numbers = {name: field.defaults[recipe] for name, field in fields.items() if field.kind == "number"}
        assert {name: float(text or "nan") for name, text in numbers.items() if text} == {
            name: config[name] for name, text in numbers.items() if text
        }
    assert "<code>stage2_epochs</code> · 1 to 1000 " in page
    assert "<code>backbone_lr</code> · above 0 to 1 " in page
    assert "<code>arcface_margin</code> · 0 to below 1.571 " in page


def test_datasets_and_weights_are_choices(visit: Visit, api: TestClient) -> None:
    service: Any = api.app.state.service  # type: ignore[attr-defined]
    write_dataset(service.settings.datasets_dir / "office")
    dsr = service.settings.weights_dir / "small.pth"
    dsr.write_bytes(b"")
    page = visit("/ui/new?dataset=office").text
    assert _values(page)["dataset"] == "office"
    assert _values(page)["edgeface"] == "edgeface_xxs.pt"
    assert '<option value="small.pth">' in page
    assert _values(visit("/ui/new?dataset=gone").text)["dataset"] == "gone"
    assert 'name="dataset"' in visit("/ui/new").text


def test_a_clone_has_the_config_of_its_job_and_the_next_name(visit: Visit, database: Database) -> None:
    job_id = job_that_is(database, JobStatus.SUCCEEDED)
    changed = {"recipe": "recommended", "dataset": "faces", "backbone_lr": 3e-5, "keep": "best", "allowed_leaks": ["*"]}
    config = FinetuneConfig.model_validate(changed).model_dump(mode="json")
    with database.writing() as session:
        labels = {"name": "first-2", "tags": ["a", "b"], "config": config}
        session.execute(update(Job).where(col(Job.id) == job_id).values(**labels))
    page = visit(f"/ui/new?from={job_id}").text
    values = _values(page)
    assert values | {"backbone_lr": "3e-5", "keep": "best", "allowed_leaks": "*", "dataset": "faces"} == values
    assert (values["stage2_epochs"], values["train_dir"]) == ("60", "")
    assert 'value="recommended" checked' in page
    assert 'id="job-name" value="first-3"' in page
    assert 'id="job-tags" value="a, b"' in page


@pytest.mark.parametrize(("job_id", "status"), [("0" * 24, 404), ("../x", 404)])
def test_a_job_that_is_not_there_cannot_be_cloned(visit: Visit, job_id: str, status: int) -> None:
    answer = visit(f"/ui/new?from={job_id}")
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")


def test_who_may_not_submit_gets_no_form(visit: Visit, database: Database) -> None:
    assert visit("/ui/new", **bearer(key_of(database, "reader", Scope.READ))).status_code == 403
    assert visit("/ui/new").status_code == 303
    answer = visit("/ui/new", **bearer(key_of(database, "sender", Scope.SUBMIT)))
    assert answer.status_code == 200
    assert "Start training" in answer.text
