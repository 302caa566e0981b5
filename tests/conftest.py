"""What tests of all levels share."""

import os
from pathlib import Path

import pytest

from worker.process.openmp import let_waiting_threads_sleep

let_waiting_threads_sleep()

_REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_assets() -> Path:
    """The folder of real faces and weights: EDGEFACE_TEST_ASSETS, or ../shared beside the repository.

    Without it a test is skipped by name; under CI=true it fails.
    """
    folder = Path(os.environ.get("EDGEFACE_TEST_ASSETS", _REPOSITORY.parent / "shared"))
    if (folder / "weights" / "edgeface_xxs.pt").is_file() and (folder / "faces").is_dir():
        return folder
    missing = f"no faces/ and weights/edgeface_xxs.pt in {folder}: set EDGEFACE_TEST_ASSETS"
    if os.environ.get("CI") == "true":
        pytest.fail(missing)
    pytest.skip(missing)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: --slow runs it"))
