"""`edgeface-finetune train`: a flag for every field of the config, the files where they were asked for."""

import signal
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

from app.finetune.config import FinetuneConfig
from app.finetune.errors import ConfigError, EdgefaceError
from app.finetune.events import TrainingEvent
from app.finetune.recipes import RECOMMENDED
from worker.cli.train import train
from worker.training.storage.paths import TrainingFiles

from .support import write_training


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(train, [str(argument) for argument in arguments])


def paths(files: TrainingFiles) -> list[object]:
    return ["--train-dir", files.train_dir, "--val-dir", files.val_dir, "--edgeface", files.edgeface]


def test_help_has_every_field_with_its_default() -> None:
    shown = " ".join(invoke("--help").output.split())
    for name, field in FinetuneConfig.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        if field.default not in (None, ()):
            assert f"[default: {field.default}]" in shown


def test_a_recipe_sets_what_is_not_given(tmp_path: Path) -> None:
    small = ["--recipe", "recommended", "--stage2-epochs", 1, "--invented-people", 2, "--device", "cpu"]
    done = invoke(*paths(write_training(tmp_path)), *small, "--output-dir", tmp_path / "mine")
    assert done.exit_code == 0, done.output
    config = torch.load(tmp_path / "mine" / "edgeface_finetuned.pth", weights_only=True)["config"]
    expected = {**RECOMMENDED, "recipe": "recommended", "stage2_epochs": 1, "synthetic_identities": 2}
    assert config.items() >= expected.items()
    assert "the last epoch is kept" in done.output
    assert "warning: invented_people is deprecated and works until 0.4.0: use synthetic_identities" in done.output


def test_a_training_ends_with_its_files_in_the_output_folder(tmp_path: Path) -> None:
    output = tmp_path / "mine"
    small = ["--stage1-epochs", 1, "--stage2-epochs", 2, "--batch-size", 8, "--device", "cpu"]
    done = invoke(*paths(write_training(tmp_path)), *small, "--output-dir", output)
    assert done.exit_code == 0, done.output
    assert "stage 2: backbone and ArcFace head, 2 epochs" in done.output
    assert "  epoch 2/2  train loss " in done.output
    content = torch.load(output / "edgeface_finetuned.pth", weights_only=True)
    assert content["config"]["stage2_epochs"] == 2
    assert f"Saved {output / 'report.html'}" in done.output
    bare = torch.load(output / "edgeface_backbone.pth", weights_only=True)
    assert bare.keys() == content["backbone_state_dict"].keys()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--train-dir", "a", "--val-dir", "b", "--batch-size", "1"], 'batch_size: must be at least 2, not "1"'),
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


SMALL = ["--stage1-epochs", 1, "--stage2-epochs", 2, "--batch-size", 8, "--device", "cpu"]


def interrupt_at(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when a line of this beginning is shown."""
    from app.cli import event_lines

    shown = event_lines.event_line

    def event_line(event: TrainingEvent) -> str | None:
        said = shown(event)
        if said is not None and said.strip().startswith(line):
            signal.raise_signal(signal.SIGINT)
        return said

    monkeypatch.setattr(event_lines, "event_line", event_line)


def test_ctrl_c_saves_and_resume_goes_on_to_the_same_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, whole, broken = write_training(tmp_path), tmp_path / "whole", tmp_path / "broken"
    handler = signal.getsignal(signal.SIGINT)  # ignored where pytest runs in a shell's background
    assert invoke(*paths(files), *SMALL, "--output-dir", whole).exit_code == 0
    with monkeypatch.context() as patch:
        interrupt_at("epoch 1/2", patch)
        done = invoke(*paths(files), *SMALL, "--output-dir", broken)
    assert done.exit_code == 130, done.output
    assert f"To resume: edgeface-finetune train --resume --output-dir {broken}" in done.output
    assert not (broken / "edgeface_finetuned.pth").exists()
    assert len(list(broken.glob("state-*.pth"))) == 2
    assert signal.getsignal(signal.SIGINT) is handler

    refused = invoke(*paths(files), *SMALL, "--output-dir", broken).exception
    assert isinstance(refused, ConfigError)
    assert "resume it with --resume" in refused.hint
    other = invoke("--resume", "--output-dir", broken, "--batch-size", 4).exception
    assert isinstance(other, ConfigError)
    assert "--batch-size 4 differs from the training to resume, which has 8" in other.message

    moved = broken.rename(tmp_path / "moved")
    gone_on = invoke("--resume", "--output-dir", moved, "--batch-size", 8)
    assert gone_on.exit_code == 0, gone_on.output
    assert "stage 1" not in gone_on.output
    assert (moved / "edgeface_backbone.pth").read_bytes() == (whole / "edgeface_backbone.pth").read_bytes()
    full, expected = (torch.load(folder / "edgeface_finetuned.pth", weights_only=True) for folder in (moved, whole))
    assert torch.equal(full["arcface_state_dict"]["weight"], expected["arcface_state_dict"]["weight"])
    assert (full["epoch"], full["config"]) == (expected["epoch"], expected["config"])
    left = {path.name for path in moved.iterdir()}
    results = {"edgeface_finetuned.pth", "edgeface_backbone.pth", "edgeface.onnx", "evaluation.json", "report.html"}
    assert results <= left
    assert len(left - results - {"prepared"}) == 1, "the best epoch's folder"
    assert (moved / "report.html").read_text().count("<circle") == (whole / "report.html").read_text().count("<circle")
    assert not list(moved.rglob("*.partial"))


def test_a_damaged_newest_state_costs_no_more_than_the_way_from_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, output = write_training(tmp_path), tmp_path / "output"
    interrupt_at("epoch 2/2", monkeypatch)
    assert invoke(*paths(files), *SMALL, "--output-dir", output).exit_code == 130
    monkeypatch.undo()
    newest = sorted(output.glob("state-*.pth"))[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    gone_on = invoke("--resume", "--output-dir", output)
    assert gone_on.exit_code == 0, gone_on.output
    assert "epoch 2/2" in gone_on.output


def test_without_an_unfinished_training_there_is_nothing_to_resume(tmp_path: Path) -> None:
    error = invoke("--resume", "--output-dir", tmp_path).exception
    assert isinstance(error, ConfigError)
    assert "no unfinished training" in error.message


def test_photos_that_are_not_aligned_are_warned_of(tmp_path: Path, shared_assets: Path) -> None:
    for split, people in (("train", range(1, 4)), ("val", range(4, 7))):
        for person in people:
            for photo in ("1", "2"):
                with Image.open(shared_assets / "faces" / "orl" / f"s{person}" / f"{photo}.pgm") as opened:
                    face = opened.convert("RGB")
                for kind, size in (("hr_images", (112, 112)), ("vlr_images", (16, 16))):
                    path = tmp_path / split / kind / f"s{person}_{photo}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    face.resize(size).save(path)
    folders = ["--train-dir", tmp_path / "train", "--val-dir", tmp_path / "val"]
    weights = ["--edgeface", shared_assets / "weights" / "edgeface_xxs.pt"]
    small = ["--stage1-epochs", 0, "--stage2-epochs", 1, "--batch-size", 6, "--device", "cpu"]
    done = invoke(*folders, *weights, *small, "--output-dir", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "px off the EdgeFace template" in done.output
    assert "build the dataset with --align" in done.output
