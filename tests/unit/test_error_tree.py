"""The error tree drawn in app/finetune/error_tree.py is complete, and every error can be reported."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import app
import app.finetune.error_tree
import worker
from app.finetune.errors import Blame, EdgefaceError
from app.finetune.job_kinds import KINDS, Kind

# Only a kind with a checkpoint has a file without a backbone.
st.register_type_strategy(Kind, st.sampled_from([kind for kind in KINDS.values() if kind.checkpoint]))
st.register_type_strategy(Path, st.just(Path("folder/file")))
SHAPE = re.compile(r"^((?:│   |    )*)(├── |└── )(\w+) +(\w+)$")


def _modules(package: ModuleType) -> list[ModuleType]:
    """The package and all modules in it, imported."""
    names = [module.name for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    # A command's `__main__` runs on import, and alembic runs its own scripts.
    return [package, *(importlib.import_module(name) for name in names if not re.search("__main__|migrations", name))]


MODULES = [*_modules(app), *_modules(worker)]


def _errors() -> set[type[EdgefaceError]]:
    """Every error class of ours but the base."""
    of_modules = {value for module in MODULES for value in vars(module).values() if inspect.isclass(value)}
    return {kind for kind in of_modules if issubclass(kind, EdgefaceError) and kind is not EdgefaceError}


def _drawn() -> set[tuple[str, str, str]]:
    """(name, base, code) of each class in the drawing."""
    drawn, ancestors = set(), ["EdgefaceError"]
    for line in (app.finetune.error_tree.__doc__ or "").splitlines():
        if (found := SHAPE.match(line)) is not None:
            indent, _, name, code = found.groups()
            depth = len(indent) // 4 + 1
            ancestors = [*ancestors[:depth], name]
            drawn.add((name, ancestors[depth - 1], code))
    return drawn


def test_the_drawing_shows_every_error_with_its_base_and_code() -> None:
    assert _drawn() == {(kind.__name__, kind.__mro__[1].__name__, kind.code) for kind in _errors()}


def test_every_code_belongs_to_one_error() -> None:
    codes = [kind.code for kind in _errors() if "code" in vars(kind)]
    assert sorted(codes) == sorted(set(codes))


def _reported() -> list[type[EdgefaceError]]:
    """Those that write their own message and hint; the others take them from the code that raises them."""
    own = [kind for kind in _errors() if "hint" not in inspect.signature(kind).parameters]
    return sorted(own, key=lambda kind: kind.__name__)


@pytest.mark.parametrize("kind", _reported(), ids=lambda kind: kind.__name__)
@settings(max_examples=10, database=None)
@given(data=st.data())
def test_every_error_is_reported_with_message_hint_and_blame(kind: type[EdgefaceError], data: st.DataObject) -> None:
    report = data.draw(st.builds(kind)).report()
    assert report.code == kind.code
    assert report.blame in get_args(Blame)
    assert report.message
    assert report.hint
    report.model_dump_json()
