"""What a fresh process has loaded once it has imported a room: the contracts in pyproject.toml, at run time."""

import functools
import subprocess
import sys

import pytest

SERVICE = {"fastapi", "starlette", "uvicorn", "celery", "kombu"}
DATABASE = {"sqlmodel", "sqlalchemy", "alembic"}
TORCH = {"torch", "torchvision", "timm"}

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("\\n".join(sys.modules))
"""


@functools.cache
def loaded_by(package: str) -> set[str]:
    """The modules loaded after the import of the package and of all its modules."""
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL, package], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("package", "never"),
    [
        ("app.finetune", SERVICE | DATABASE | TORCH),
        ("app.access", SERVICE | TORCH),
        ("app.jobs", SERVICE | TORCH),
        ("app.inputs", SERVICE | TORCH),
        ("app.isolated", SERVICE | DATABASE | TORCH),
        ("app.live", {"celery", "kombu"} | TORCH),
        ("app.alignment", SERVICE | DATABASE | TORCH),
        ("app.cli", TORCH),
        ("worker.training", SERVICE | DATABASE),
        ("worker.cli", {"fastapi", "starlette", "uvicorn", "app.main", "app.routes", "app.live"}),
    ],
)
def test_a_room_does_not_load_what_its_contract_leaves_out(package: str, never: set[str]) -> None:
    loaded = loaded_by(package)
    assert package in loaded
    assert never & loaded == set()


@pytest.mark.parametrize("package", ["worker.training", "app.finetune"])
def test_only_the_contract_with_the_service_is_loaded_of_app(package: str) -> None:
    of_app = {module for module in loaded_by(package) if module.split(".")[0] == "app"}
    assert "app.finetune" in of_app
    assert {module for module in of_app if not f"{module}.".startswith("app.finetune.")} == {"app"}


def test_the_service_never_loads_the_worker() -> None:
    loaded = loaded_by("app.routes") | loaded_by("app.jobs")
    assert {module for module in loaded if module.split(".")[0] == "worker"} == set()
