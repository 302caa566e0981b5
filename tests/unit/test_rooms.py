"""Rules for the files and packages of the code: none is long, and each package says what it contains."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LONGEST = 320
FILES = [path for room in ("app", "worker") for path in (ROOT / room).rglob("*.py") if "migrations" not in path.parts]
PACKAGES = [path.parent for room in ("app", "worker") for path in (ROOT / room).rglob("__init__.py")]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_long() -> None:
    lines = {_name(path): len(path.read_text().splitlines()) for path in FILES}
    assert len(lines) > 200
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("package", PACKAGES, ids=_name)
def test_each_package_says_in_one_sentence_what_it_contains(package: Path) -> None:
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    assert text.split("\n\n")[0].endswith((".", "`.", ":"))
