"""Commands load no more than they need."""

import json
import subprocess
import sys

import pytest

CODE = """
import json, sys, click
from app.cli.service import edgeface_finetune
command = edgeface_finetune.get_command(click.Context(edgeface_finetune), sys.argv[1])
assert command is not None
if sys.argv[1] == "worker":
    import worker.tasks
print(json.dumps(sorted(sys.modules)))
"""
SERVER = {"app.main", "app.routes", "fastapi", "starlette", "uvicorn"}


def modules_of(command: str) -> set[str]:
    shown = subprocess.run([sys.executable, "-c", CODE, command], capture_output=True, text=True, check=True)
    return set(json.loads(shown.stdout))


@pytest.mark.parametrize(
    "command", ["worker", "train", "evaluate", "dsr-train", "weights", "profile", "submit", "dataset"]
)
def test_a_command_that_serves_nothing_does_not_load_the_api(command: str) -> None:
    assert modules_of(command) & SERVER == set()


def test_the_api_is_loaded_by_the_command_that_runs_it() -> None:
    assert modules_of("api") >= SERVER
