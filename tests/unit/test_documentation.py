"""The documents list every field, setting, state, route, command and error."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import app.alignment.errors
import app.dataset_build
import app.jobs.errors
from app.api_models.job import JobView
from app.cli.service import edgeface_finetune
from app.error_statuses import status_of
from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import REMOVED_IN, RENAMED_ANSWER_FIELDS, RENAMED_FIELDS, RENAMED_QUERY_VALUES
from app.finetune.errors import EdgefaceError
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.phases import PHASES
from app.finetune.recipes import RECOMMENDED
from app.jobs.states import NEXT, JobStatus
from app.main import create_app
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


@pytest.mark.parametrize("phase", PHASES)
def test_the_reference_has_every_phase(phase: str) -> None:
    assert f"`{phase}`" in REFERENCE.split("## Phases")[1].split("## Commands")[0]


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


def commands_of(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Yield (`dataset build`, its command) for every command below the group."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands_of(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


COMMANDS = dict(commands_of(edgeface_finetune))
FIELDS = {*FinetuneConfig.model_fields, *EvaluationConfig.model_fields}


def test_the_commands_are_found() -> None:
    assert {"serve", "api", "worker", "train", "submit", "watch", "download", "dataset build", "demo"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_reference_has_every_command_and_option(name: str) -> None:
    """`train` and `evaluate` have an option for each field, which the tables of fields list."""
    assert f"`{name}" in REFERENCE
    options = [each for each in COMMANDS[name].params if isinstance(each, click.Option) and not each.hidden]
    page = REFERENCE + (ROOT / "docs" / "operations.md").read_text()
    names = {option.opts[-1] for option in options if option.name not in FIELDS}
    assert {each for each in names if not re.search(rf"{each}\b", page)} == set()


def test_every_error_has_a_code_of_its_own_and_an_answer() -> None:
    tree = {kind for kind in subclasses(EdgefaceError) if "code" in vars(kind)}
    codes = [kind.code for kind in tree]
    assert sorted(codes) == sorted(set(codes))
    for kind in tree:
        error = kind.__new__(kind)
        assert status_of(error) >= 400
        assert (status_of(error) >= 500) <= (kind.blame == "service"), kind


@pytest.mark.parametrize("page", ["reliability.md", "security.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / page).read_text()))
    written = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(named) > 20
    assert named - written == set()


def test_the_reliability_page_shows_the_end_of_a_chaos_run() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert re.search(r"^kills=\d+ lost=0 doubled=0 stuck=0 corrupt=0 unequal=0$", page, re.MULTILINE)
