"""The documents list every field, setting, state, route, command and error."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import app.alignment.errors
import app.dataset_build
import app.jobs.errors
from app.api_models.job import JobView
from app.cli.service import edgeface_finetune
from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import REMOVED_IN, RENAMED_ANSWER_FIELDS, RENAMED_FIELDS, RENAMED_QUERY_VALUES
from app.finetune.errors import EdgefaceError
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.recipes import RECOMMENDED
from app.jobs.states import NEXT, JobStatus
from app.main import create_app
from app.problems import status_of
from app.settings import Settings

ROOT = Path(__file__).parents[2]
REFERENCE = (ROOT / "docs" / "reference.md").read_text()

assert app.alignment.errors
assert app.dataset_build
assert app.jobs.errors


def subclasses(kind: type[EdgefaceError]) -> set[type[EdgefaceError]]:
    return {kind}.union(*(subclasses(below) for below in kind.__subclasses__()))


def in_words(default: object) -> str:
    return json.dumps(default).strip('"')


@pytest.mark.parametrize("name", FinetuneConfig.model_fields)
def test_the_reference_has_every_field_of_a_fine_tuning(name: str) -> None:
    field = FinetuneConfig.model_fields[name]
    recommended = RECOMMENDED.get(name, "")
    assert f"| `{name}` | {in_words(field.default)} | {recommended} | {field.description} |" in REFERENCE


@pytest.mark.parametrize("name", EvaluationConfig.model_fields)
def test_the_reference_has_every_field_of_an_evaluation(name: str) -> None:
    field = EvaluationConfig.model_fields[name]
    assert f"| `{name}` | {in_words(field.default)} | {field.description} |" in REFERENCE


@pytest.mark.parametrize("name", Settings.model_fields)
def test_the_reference_has_every_setting(name: str) -> None:
    field = Settings.model_fields[name]
    default = "" if field.default in ("", Path()) else field.default
    assert f"| `EDGEFACE_{name.upper()}` | {default} | {field.description} |" in REFERENCE


@pytest.mark.parametrize("former", RENAMED_FIELDS)
def test_the_reference_has_every_former_field_name(former: str) -> None:
    assert f"`{former}` is the former name of `{RENAMED_FIELDS[former]}` and works until {REMOVED_IN}." in REFERENCE


FORMER_NAMES = [
    *RENAMED_FIELDS.items(),
    *((f"{name}={former}", f"{name}={current}") for (name, former), current in RENAMED_QUERY_VALUES.items()),
    *RENAMED_ANSWER_FIELDS.items(),
]


@pytest.mark.parametrize(("former", "current"), FORMER_NAMES)
def test_the_reference_lists_every_former_name(former: str, current: str) -> None:
    assert f"| `{former}` | `{current}` |" in REFERENCE.split("## Former names")[1]


@pytest.mark.parametrize(("former", "current"), RENAMED_ANSWER_FIELDS.items())
def test_answers_have_a_field_under_both_names(former: str, current: str) -> None:
    schema = JobView.model_json_schema(mode="serialization")
    for path in (former, current):
        *parents, name = path.split(".")
        described = schema["$defs"]["PredictedView"] if parents else schema
        assert described["properties"][name].get("deprecated", False) == (path == former)


STATES_PAGE = (ROOT / "docs" / "job-states.md").read_text()


def states_row(status: JobStatus) -> list[str]:
    (row,) = (line for line in STATES_PAGE.splitlines() if line.startswith(f"| `{status}` |"))
    return [cell.strip() for cell in row.strip("|").split("|")]


@pytest.mark.parametrize("status", JobStatus)
def test_the_states_page_has_every_state_and_whether_it_is_terminal(status: JobStatus) -> None:
    assert states_row(status)[1] == ("yes" if status.terminal else "no")


@pytest.mark.parametrize("status", JobStatus)
def test_the_states_page_has_every_transition_that_the_store_makes(status: JobStatus) -> None:
    assert set(re.findall(r"`(\w+)`", states_row(status)[2])) == NEXT[status]


@pytest.mark.parametrize("status", JobStatus)
def test_the_states_page_says_who_moves_a_state_on_and_what_a_crash_does(status: JobStatus) -> None:
    _, _, next_states, who, crash = states_row(status)
    assert who
    assert bool(crash) == bool(next_states)


@pytest.mark.parametrize("status", JobStatus)
def test_the_diagram_shows_every_state(status: JobStatus) -> None:
    assert re.search(rf"\b{status}\b", STATES_PAGE.split("```")[1])


def test_the_reference_has_every_path(tmp_path: Path) -> None:
    paths = {path.replace("{job_id}", "{id}") for path in create_app(Settings(var_dir=tmp_path)).openapi()["paths"]}
    assert "/jobs/{id}/checkpoint" in paths
    assert {path for path in paths if path not in REFERENCE} == set()


def test_the_reference_has_every_command() -> None:
    listed = CliRunner().invoke(edgeface_finetune, ["--help"]).output.split("Commands:")[1]
    commands = {line.split()[0] for line in listed.splitlines() if line.startswith("  ") and line[2] != " "}
    assert {"serve", "api", "worker", "train", "submit", "watch", "download", "dataset", "demo"} <= commands
    assert {command for command in commands if f"`{command}" not in REFERENCE} == set()


def test_every_error_has_a_code_of_its_own_and_an_answer() -> None:
    tree = {kind for kind in subclasses(EdgefaceError) if "code" in vars(kind)}
    codes = [kind.code for kind in tree]
    assert sorted(codes) == sorted(set(codes))
    for kind in tree:
        error = kind.__new__(kind)
        assert status_of(error) >= 400
        assert (status_of(error) >= 500) <= (kind.blame == "service"), kind


def test_every_test_that_the_reliability_page_names_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 20
    assert re.search(r"^kills=\d+ lost=0 doubled=0 stuck=0 corrupt=0 unequal=0$", page, re.MULTILINE)
    assert named - written == set()
