"""Runs a fine-tuning or a DSR training at the terminal, without the service. Importing this module imports PyTorch."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from app.artifacts import copy_whole
from app.cli.live_progress import LiveProgress
from app.finetune.config import FinetuneConfig
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ConfigError
from app.finetune.events import Checkpoint, Finished, Report, StateSaved, Stopped, TrainingEvent
from app.finetune.part_reading import built_reading
from app.settings import Settings
from worker.cli.interrupt import INTERRUPTED, stop_at_interrupt
from worker.cli.named_files import NamedFiles
from worker.dataset_check.alignment import alignment_warnings
from worker.training.checkpoints.resume_file import ResumePoints
from worker.training.runtime.control import Control
from worker.training.storage.paths import ResumeFrom, TrainingFiles

_Config = TypeVar("_Config", FinetuneConfig, DsrTrainingConfig)

_COMMANDS: dict[type[FinetuneConfig | DsrTrainingConfig], str] = {
    FinetuneConfig: "train",
    DsrTrainingConfig: "dsr-train",
}


def resolve_training(kind: type[_Config], begun: _Config | None, output_dir: Path) -> tuple[_Config, ResumeFrom | None]:
    """Return the config `begun`, or without one the config and the state of the unfinished training in `output_dir`.

    Raises ConfigError if an unfinished training is in the way of a new one, or if there is none of this kind to resume.
    """
    points = ResumePoints(output_dir)
    unfinished = points.read()
    if begun is not None:
        if unfinished is not None:
            raise ConfigError(
                f"{output_dir} holds an unfinished training",
                f"resume it with --resume, choose another --output-dir, or remove {output_dir} to start again",
            )
        return begun, None
    if unfinished is None:
        raise ConfigError(f"{output_dir} holds no unfinished training", "leave --resume out to start a training")
    if not isinstance(unfinished.config, kind):
        command = _COMMANDS[type(unfinished.config)]
        raise ConfigError(f"{output_dir} holds a training by {command}", f"resume it with {command} --resume")
    return unfinished.config, points.newest_whole(unfinished)


def train_here(
    train: Callable[[_Config, TrainingFiles, Report, Control], Finished | Stopped],
    config: _Config,
    named: NamedFiles,
    output_dir: Path,
    prepared_dir: Path | None,
    resume: ResumeFrom | None,
    live: LiveProgress,
) -> None:
    """Run `train` until it finishes or Ctrl-C stops it, show its events, and write the result into `output_dir`."""
    points, control, settings = ResumePoints(output_dir), Control(judge_faces=alignment_warnings), Settings()
    best = [] if resume is None or resume.best is None else [resume.best]

    def show(event: TrainingEvent) -> None:
        live.show(event)
        if isinstance(event, Checkpoint):
            best.append(event)
        if isinstance(event, StateSaved):
            points.record(config, event)

    files = TrainingFiles(
        train_dir=Path(config.train_dir or ""),
        val_dir=Path(config.val_dir or ""),
        edgeface=named.edgeface,
        dsr=named.dsr,
        copies=named.copies,
        output_dir=output_dir,
        prepared_dir=prepared_dir or output_dir / "prepared",
        resume=resume,
        train_reading=built_reading(config.train_dir),
        val_reading=built_reading(config.val_dir),
        compiled_dir=settings.compiled_dir if settings.compile else None,
    )
    with stop_at_interrupt(control.stop):
        last = train(config, files, show, control)
    if isinstance(last, Stopped):
        if points.read() is not None:
            resume_command = f"{_COMMANDS[type(config)]} --resume --output-dir {shlex.quote(str(output_dir))}"
            live.print(f"To resume: edgeface-finetune {resume_command}")
        click.get_current_context().exit(INTERRUPTED)
    for written in best[-1].files:
        live.print(f"Saved {copy_whole(written.path, output_dir / written.path.name)}")
    if last.evaluated is not None:
        live.print(f"Saved {last.evaluated.report.path}")
    if last.exported is not None:
        live.print(f"Saved {last.exported.file.path}")
    points.clear()
