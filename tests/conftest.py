"""What tests of all levels share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from worker.process.openmp import let_waiting_threads_sleep

let_waiting_threads_sleep()
# Tests run side by side: PyTorch, which reads this when it is imported, must not use all cores in each process.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# TestClient's own name: the service answers to no unknown one.
os.environ["EDGEFACE_ALLOWED_HOSTS"] = "testserver"
# A busy machine is no failure; pytest-timeout ends an example that hangs.
settings.register_profile("tests", deadline=None)
settings.load_profile("tests")

_REPOSITORY = Path(__file__).parent.parent
_TIERS = ("slow", "nightly")
_LONGEST_FIRST = ("chaos", "system", "compat", "unit", "integration")
"""Folders of tests: the sooner, the longer a test takes there."""


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
    for tier in _TIERS:
        parser.addoption(f"--{tier}", action="store_true", help=f"run the tests marked {tier} too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tiers not asked for, and start the longest tests first: one that starts last is waited for alone.

    The PostgreSQL variant of a test is slow, unless the test is marked `postgresql`.
    """
    for item in items:
        if _database(item) == "postgresql" and item.get_closest_marker("postgresql") is None:
            item.add_marker(pytest.mark.slow)
    left_out = {tier for tier in _TIERS if not config.getoption(tier)}
    config.hook.pytest_deselected(items=[item for item in items if _is_marked(item, left_out)])
    items[:] = sorted((item for item in items if not _is_marked(item, left_out)), key=_place)


def _database(item: pytest.Item) -> object:
    """The value of its parameter `database_url`."""
    callspec = getattr(item, "callspec", None)
    return None if callspec is None else callspec.params.get("database_url")


def _is_marked(item: pytest.Item, names: set[str]) -> bool:
    return any(mark.name in names for mark in item.iter_markers())


def _place(item: pytest.Item) -> int:
    folder = item.path.relative_to(_REPOSITORY / "tests").parts[0]
    return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)
