"""Commands load no more than they need."""

import functools
import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from app.cli.remote import edgeface_finetune as of_client
from app.cli.service import edgeface_finetune

SERVER = {"app.main", "app.routes", "fastapi", "starlette", "uvicorn"}


def loaded_with(module: str) -> set[str]:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(shown.stdout))


@pytest.mark.parametrize("module", ["worker.tasks", "app.cli.live", "app.cli.run.dataset_build", "app.cli.run.doctor"])
def test_the_work_of_a_command_that_serves_nothing_does_not_load_the_api(module: str) -> None:
    assert loaded_with(module) & SERVER == set()


def test_the_api_is_loaded_by_the_command_that_runs_it() -> None:
    assert loaded_with("app.cli.run.api") >= SERVER


ALL_HELP = """
import contextlib, io, json, sys, click
from app.cli.service import edgeface_finetune

def show(command, path):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        edgeface_finetune.main([*path, "--help"])
    yield " ".join(path), sorted(sys.modules)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from show(command.get_command(context, name), (*path, name))

print(json.dumps(list(show(edgeface_finetune, ()))))
"""
WORK = {
    "torch",
    "numpy",
    "PIL",
    "fastapi",
    "uvicorn",
    "celery",
    "sqlalchemy",
    "httpx2",
    "rich",
    "humanize",
    "structlog",
}
WORK |= {"app.client", "app.settings", "pydantic_settings"}
"""What only the work of a command needs."""


@functools.cache
def loaded_by_help() -> dict[str, set[str]]:
    """What is loaded when the `--help` of each command has been printed, one after the other in one process."""
    shown = subprocess.run([sys.executable, "-c", ALL_HELP], capture_output=True, text=True, check=True)
    return {path: set(modules) for path, modules in json.loads(shown.stdout)}


def test_no_help_loads_what_only_the_work_of_a_command_needs() -> None:
    loaded = loaded_by_help()
    assert {"", "serve", "train", "dataset build", "keys create", "weights fetch"} <= loaded.keys()
    assert {path: modules & WORK for path, modules in loaded.items() if modules & WORK} == {}


def test_the_list_of_commands_loads_no_command() -> None:
    modules = loaded_by_help()[""]
    assert "pydantic" not in modules
    assert {module for module in modules if module.startswith(("app.cli.", "worker.cli."))} == {
        "app.cli.former_names",
        "app.cli.groups",
        "app.cli.remote",
        "app.cli.service",
    }


def all_groups(group: click.Group) -> Iterator[click.Group]:
    yield group
    context = click.Context(group)
    for command in (group.get_command(context, name) for name in group.list_commands(context)):
        if isinstance(command, click.Group):
            yield from all_groups(command)


@pytest.mark.parametrize("line", [edgeface_finetune, of_client], ids=["service", "client"])
def test_the_list_says_of_each_command_what_its_own_help_says(line: click.Group) -> None:
    for group in all_groups(line):
        context = click.Context(group)
        listed = {item.value: item.help for item in group.shell_complete(context, "")}
        for name in group.list_commands(context):
            command = group.get_command(context, name)
            assert command is not None
            assert command.name == name
            assert listed[name] == command.get_short_help_str()
            assert listed[name]


def test_an_unknown_command_suggests_a_similar_one() -> None:
    done = CliRunner().invoke(edgeface_finetune, ["sumbit"])
    assert done.exit_code == 2
    assert "submit" in done.output
