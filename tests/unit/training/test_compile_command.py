"""`edgeface-finetune compile`: what it says where it cannot help, and what a training says without it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.settings import Settings
from tests.pretended_gpu import pretended_gpu
from worker.cli.compile import compile_network
from worker.cli.train import train

from .support import write_training


@pytest.fixture
def config(tmp_path: Path) -> dict[str, object]:
    files = write_training(tmp_path)
    return {"train_dir": str(files.train_dir), "val_dir": str(files.val_dir), "edgeface": str(files.edgeface)}


def invoke(folder: Path, config: dict[str, object]) -> Result:
    path = folder / "config.json"
    path.write_text(json.dumps(config))
    return CliRunner().invoke(compile_network, [str(path)], catch_exceptions=False)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_without_a_gpu_it_says_so(tmp_path: Path, config: dict[str, object], device: str) -> None:
    done = invoke(tmp_path, {**config, "device": device})
    assert done.exit_code == 1
    assert done.stderr == (f"error: compiling serves GPUs only, and this training runs on the CPU (device: {device})\n")
    assert not Settings().compiled_dir.exists()


def test_fp16_has_no_graph_to_compile_for(tmp_path: Path, config: dict[str, object]) -> None:
    with pretended_gpu(bf16=False):
        done = invoke(tmp_path, {**config, "device": "cuda"})
    assert done.exit_code == 1
    assert "fp16 trains without CUDA graphs" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "words"), [("true", "nothing is compiled for this network"), ("false", "EDGEFACE_COMPILE is off")]
)
def test_a_training_says_why_nothing_is_compiled(
    tmp_path: Path, config: dict[str, object], monkeypatch: pytest.MonkeyPatch, setting: str, words: str
) -> None:
    monkeypatch.setenv("EDGEFACE_COMPILE", setting)
    given = {**config, "stage1_epochs": 0, "stage2_epochs": 1, "batch_size": 8, "device": "cuda"}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    with pretended_gpu():
        done = CliRunner().invoke(train, [*arguments, "--output-dir", str(tmp_path / "mine")], catch_exceptions=False)
    assert f"not compiled: {words}" in " ".join(done.output.split())
