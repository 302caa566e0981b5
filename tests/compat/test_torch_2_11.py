"""The training on PyTorch 2.11, the oldest that pyproject.toml allows and the one that machines with a GPU run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = Path.home() / ".cache" / "edgeface-finetune" / "torch-2.11"
"""Kept between the runs: it takes minutes to install, and some gigabytes."""

TRAINING = "tests/unit/training"
SMOKE = (
    "test_golden_losses.py",
    "test_profile.py",
    "models/test_edgeface.py",
    "objectives",
    "loop",
    "data/test_loader.py",
    "data/test_multi_scale.py",
    "checkpoints/test_best_model.py",
)
_OF_TORCH = r"torch|torchvision|triton|setuptools|nvidia-.*|cuda-.*"


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of an environment with the project, PyTorch 2.11 and all else as in requirements/dev.txt.

    Of Python 3.12 where uv finds or can install one, else of the Python that runs here.
    """
    interpreter = ENVIRONMENT / "bin" / "python"
    if not interpreter.exists() and _uv("venv", "--python", "3.12", ENVIRONMENT).returncode != 0:
        assert _uv("venv", "--python", sys.executable, ENVIRONMENT).returncode == 0
    pins = re.findall(r"^([\w.-]+)(==[^\\\n]+)", (REPOSITORY / "requirements" / "dev.txt").read_text(), re.MULTILINE)
    constraints = ENVIRONMENT / "constraints.txt"
    constraints.write_text("\n".join(name + pin for name, pin in pins if not re.fullmatch(_OF_TORCH, name)))
    install = ("--python", interpreter, "--constraint", constraints, "torch==2.11.*", "--editable", ".[worker,dev]")
    installed = _uv("pip", "install", "--quiet", *install)
    if installed.returncode != 0:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(f"not installed: {installed.stderr[-500:]}")
    return interpreter


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_smoke_part_passes(python: Path, shared_assets: Path) -> None:
    _test(python, shared_assets, *(f"{TRAINING}/{name}" for name in SMOKE))


@pytest.mark.nightly
@pytest.mark.timeout(7200)
def test_the_training_passes(python: Path, shared_assets: Path) -> None:
    _test(python, shared_assets, TRAINING)


def _test(python: Path, assets: Path, *tests: str) -> None:
    environment = {**os.environ, "EDGEFACE_TEST_ASSETS": str(assets)}
    version = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True)
    assert version.stdout.startswith("2.11."), version.stderr
    command: list[str | Path] = [
        python,
        "-m",
        "pytest",
        "--quiet",
        "-p",
        "no:cacheprovider",
        "--numprocesses",
        "0",
        *tests,
    ]
    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-5000:] + ran.stderr[-1000:]


def _uv(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in ("UV_FIND_LINKS", "PIP_FIND_LINKS")}
    uv = Path(sys.executable).with_name("uv")
    return subprocess.run(
        [uv, *arguments], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
