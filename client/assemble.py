"""Assembles the package edgeface_finetune from the modules of `app` that the client needs.

The modules are edgeface_finetune/__init__.py, the command line app/cli/remote.py, and all that they import,
transitively. A place of a lazy command, such as "app.cli.submit:submit", counts as an import. `app.NAME` becomes
`edgeface_finetune.NAME`, so that no package named `app` is installed.
"""

import ast
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

SOURCE_PACKAGE = "app"
PACKAGE = "edgeface_finetune"
COMMAND_LINE = "app.cli.remote"
_PLACE = re.compile(rf"({SOURCE_PACKAGE}(?:\.\w+)+):\w+")

HERE = Path(__file__).parent
REPOSITORY = HERE.parent


def assemble_if_in_repository() -> None:
    """Write src/. In an unpacked sdist, src/ is complete already."""
    if (REPOSITORY / SOURCE_PACKAGE / "client").is_dir():
        assemble(REPOSITORY, HERE / "src")


def assemble(repository: Path, target: Path) -> None:
    """Write the package and its version to `target`, which is emptied."""
    shutil.rmtree(target, ignore_errors=True)
    for module in sorted(modules_of_client(repository)):
        source = _file_of(repository, module)
        renamed = target / re.sub(rf"^{SOURCE_PACKAGE}\b", PACKAGE, source.relative_to(repository).as_posix())
        if module == SOURCE_PACKAGE:
            continue  # edgeface_finetune/__init__.py takes its place
        renamed.parent.mkdir(parents=True, exist_ok=True)
        renamed.write_text(rename_imports(source.read_text()))
    (target / PACKAGE / "py.typed").touch()
    project = tomllib.loads((repository / "pyproject.toml").read_text())
    (target / "VERSION").write_text(project["project"]["version"])


def modules_of_client(repository: Path) -> set[str]:
    """Return the names of all modules that the client imports, with the packages that contain them."""
    found: set[str] = set()
    waiting = [PACKAGE, COMMAND_LINE]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        parent = module.rpartition(".")[0]
        waiting += [parent] if parent else []
        waiting += _imports(repository, module)
    return found


def rename_imports(source: str) -> str:
    """Return the source with `from app.x import y` as `from edgeface_finetune.x import y`, and places likewise."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = re.sub(rf"\bfrom {SOURCE_PACKAGE}\b", f"from {PACKAGE}", line, count=1)
        elif isinstance(node, ast.Constant) and _is_place(node.value):
            line = lines[node.lineno - 1]
            lines[node.lineno - 1] = line.replace(node.value, node.value.replace(SOURCE_PACKAGE, PACKAGE, 1))
    return "".join(lines)


def _imports(repository: Path, module: str) -> Iterator[str]:
    """Yield the modules of ours that a module imports. Raises ValueError for a form that cannot be renamed."""
    for node in ast.walk(ast.parse(_file_of(repository, module).read_text())):
        if isinstance(node, ast.Import) and any(_is_ours(name.name) for name in node.names):
            raise ValueError(f"{module}, line {node.lineno}: write `from {SOURCE_PACKAGE}.x import y`")
        if isinstance(node, ast.ImportFrom) and _is_ours(node.module):
            yield str(node.module)
            for name in node.names:
                if _exists(repository, f"{node.module}.{name.name}"):
                    yield f"{node.module}.{name.name}"
        elif isinstance(node, ast.Constant) and _is_place(node.value):
            yield node.value.partition(":")[0]


def _is_place(value: object) -> TypeGuard[str]:
    """Return whether the value is the place of a lazy command, such as `app.cli.submit:submit`."""
    return isinstance(value, str) and _PLACE.fullmatch(value) is not None


def _is_ours(module: str | None) -> bool:
    return module is not None and module.split(".")[0] == SOURCE_PACKAGE


def _exists(repository: Path, module: str) -> bool:
    path = repository / module.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _file_of(repository: Path, module: str) -> Path:
    path = repository / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
