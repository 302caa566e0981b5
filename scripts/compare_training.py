"""Compare the training of two commits bit for bit: `python scripts/compare_training.py COMMIT_A COMMIT_B`.

Each commit is checked out into a temporary worktree and trains there, on the CPU, with fixed seeds, on drawn faces:
a fine-tuning with the guide's recipe (the golden losses), one with the recommended recipe, and a DSR network. The
script compares every loss and every tensor of the resulting files, and exits with 1 where any bit differs.

`.` as a commit is the working tree as it is. Both commits run with the Python that runs this script.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

# Runs in the worktree. It uses only what every commit since 71914f9 has: `golden_losses`, `write_training` and the
# commands named in pyproject.toml.
_TRAIN = """
import importlib, json, sys, tomllib
from pathlib import Path

import torch

from tests.golden.update import golden_losses
from tests.unit.training.support import write_training

output = Path(sys.argv[1])
commands = tomllib.loads(Path("pyproject.toml").read_text())["project"]["entry-points"]["edgeface_finetune.commands"]


def run(command, *arguments):
    module, _, name = commands[command].partition(":")
    getattr(importlib.import_module(module), name).main([str(each) for each in arguments], standalone_mode=False)


(output / "losses.json").write_text(json.dumps(golden_losses(output / "guide")))
files = write_training(output / "faces")
run("train", "--train-dir", files.train_dir, "--val-dir", files.val_dir, "--edgeface", files.edgeface,
    "--recipe", "recommended", "--stage1-epochs", 1, "--stage2-epochs", 2, "--invented-people", 8, "--batch-size", 6,
    "--num-workers", 0, "--device", "cpu", "--mixed-precision", "off", "--output-dir", output / "recommended")
config = {"train_dir": str(files.train_dir), "val_dir": str(files.val_dir), "edgeface": str(files.edgeface),
          "device": "cpu", "epochs": 2, "batch_size": 6, "num_workers": 0, "channels": 8, "blocks": 1, "factors": [2]}
(output / "dsr.json").write_text(json.dumps(config))
run("dsr-train", output / "dsr.json", "--output-dir", output / "dsr")
"""
_IGNORED = ("config",)  # paths in it name the temporary folder


def main() -> int:
    """Print each difference; the exit status is the number of commits that learn otherwise, 0 or 1."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("commits", nargs=2, metavar="COMMIT")
    commits = parser.parse_args().commits
    with tempfile.TemporaryDirectory() as folder:
        results = []
        for number, commit in enumerate(commits):
            output = Path(folder) / f"result-{number}"
            output.mkdir()
            with _checked_out(commit) as worktree:
                subprocess.run(  # noqa: S603 - our own code in another commit
                    [sys.executable, "-c", _TRAIN, str(output)],
                    cwd=worktree,
                    check=True,
                    stdout=subprocess.DEVNULL,
                    env=os.environ
                    | {"PYTHONPATH": str(worktree), "GOMP_SPINCOUNT": "1000"},  # see worker/process/openmp.py
                )
            results.append(_results(output))
    first, second = results
    different = [name for name in sorted(first.keys() | second.keys()) if not _equal(first.get(name), second.get(name))]
    for name in different:
        print(f"different: {name}")
    print(f"{len(first)} losses files, tensors and values compared, {len(different)} different")
    return 1 if different else 0


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    if commit == ".":
        yield Path.cwd()
        return
    with tempfile.TemporaryDirectory() as folder:
        worktree = Path(folder) / "worktree"
        _git("worktree", "add", "--detach", str(worktree), commit)
        try:
            yield worktree
        finally:
            _git("worktree", "remove", "--force", str(worktree))


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True, capture_output=True)  # noqa: S603, S607


def _results(output: Path) -> dict[str, Any]:
    """Every value of every file that the trainings left, by file and key."""
    found: dict[str, Any] = {"losses.json": (output / "losses.json").read_text()}
    for path in sorted(output.glob("*/**/*.pth")):
        if not path.name.startswith("state-"):
            content = torch.load(path, weights_only=True)
            found |= {f"{path.relative_to(output)}: {key}": value for key, value in _flat(content)}
    return found


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in content.items():
        if key in _IGNORED:
            continue
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        return torch.equal(first, second)
    return bool(first == second)


if __name__ == "__main__":
    sys.exit(main())
