"""docs/architecture.md names every package of the code, and nothing that does not exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROOMS = ("app", "worker")


def test_the_page_lists_every_package_and_no_other() -> None:
    packages = {
        path.parent.relative_to(ROOT).as_posix() for room in ROOMS for path in (ROOT / room).rglob("__init__.py")
    }
    listed = re.findall(r"^\| `([\w/]+)` \| \w", PAGE, re.MULTILINE)
    assert len(listed) == len(set(listed))
    assert set(listed) == packages


def test_every_path_that_the_page_names_exists() -> None:
    named = set(re.findall(r"\b((?:app|worker)/[\w/]+(?:\.py)?)", PAGE))
    assert len(named) > 40
    assert {path for path in named if not (ROOT / path).exists()} == set()
    assert {link for link in re.findall(r"\]\(([\w/.-]+)\)", PAGE) if not (ROOT / "docs" / link).is_file()} == set()
