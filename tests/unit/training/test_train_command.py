"""`edgeface-finetune train`: a flag for every field of the config, the files where they were asked for."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from app.finetune.config import FinetuneConfig
from app.finetune.errors import ConfigError, EdgefaceError
from worker.cli import train
from worker.training.files import TrainingFiles

from .support import write_training


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(train, [str(argument) for argument in arguments])


def paths(files: TrainingFiles) -> list[object]:
    return ["--train-dir", files.train_dir, "--val-dir", files.val_dir, "--edgeface", files.edgeface]


def test_help_has_every_field_with_its_default() -> None:
    shown = " ".join(invoke("--help").output.split())
    for name, field in FinetuneConfig.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        if field.default is not None:
            assert f"[default: {field.default}]" in shown


def test_a_training_ends_with_its_files_in_the_output_folder(tmp_path: Path) -> None:
    output = tmp_path / "mine"
    small = ["--stage1-epochs", 1, "--stage2-epochs", 2, "--batch-size", 8, "--device", "cpu"]
    done = invoke(*paths(write_training(tmp_path)), *small, "--output-dir", output)
    assert done.exit_code == 0, done.output
    assert "Stage 2: fine-tuning backbone and ArcFace head, 2 epochs" in done.output
    assert "Epoch 2/2  train loss " in done.output
    content = torch.load(output / "edgeface_finetuned.pth", weights_only=True)
    assert content["config"]["stage2_epochs"] == 2
    bare = torch.load(output / "edgeface_backbone.pth", weights_only=True)
    assert bare.keys() == content["backbone_state_dict"].keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--train-dir", "a", "--val-dir", "b", "--batch-size", "1"], "batch_size: Input should be greater"),
        (["--train-dir", "a", "--val-dir", "b", "--head-lr", "nan"], "head_lr: "),
        ([], "train_dir and val_dir missing"),
    ],
)
def test_a_wrong_value_is_named_by_its_field(arguments: list[str], said: str) -> None:
    error = invoke(*arguments).exception
    assert isinstance(error, ConfigError)
    assert said in error.message


def test_errors_of_the_training_come_through(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    files.edgeface.write_bytes(b"no weights")
    error = invoke(*paths(files)).exception
    assert isinstance(error, EdgefaceError)
    assert error.code == "weights_unreadable"
