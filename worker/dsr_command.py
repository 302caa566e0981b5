"""`edgeface-finetune dsr-train`: the training of a DSR network at the terminal, without any service."""

import json
import shlex
from pathlib import Path
from typing import TextIO

import click

from app.artifacts import copy_whole
from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.errors import ConfigError
from worker.allocator import keep_freed_memory
from worker.config_options import validated_fields
from worker.interrupt import INTERRUPTED, stop_at_interrupt
from worker.openmp import let_waiting_threads_sleep


@click.command()
@click.argument("config", type=click.File("r"), required=False)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dsr"),
    show_default=True,
    help="Where dsr.pth ends up.",
)
@click.option(
    "--prepared-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where prepared faces are kept for the next training.  [default: prepared/ in the output folder]",
)
@click.option("--resume", is_flag=True, help="Go on with the unfinished training in the output folder, without CONFIG.")
def dsr_train(config: TextIO | None, output_dir: Path, prepared_dir: Path | None, resume: bool) -> None:
    """Train a DSR network here and now, without any service, as the JSON file CONFIG says (`-` reads the terminal).

    CONFIG is what POST /dsr-trainings takes (docs/dsr.md has its fields), but directories and weights are paths here.
    Ctrl-C saves the training's state and ends; --resume then goes on, as it does after a crash, and the outcome is that
    of an unbroken training.
    """
    if (config is None) != resume:
        raise click.UsageError("give either CONFIG, to begin, or --resume, to go on")
    begun = None if config is None else _read(config)
    # PyTorch takes seconds to import: --help and a wrong config do without.
    let_waiting_threads_sleep()
    keep_freed_memory()
    from worker.training.console import render
    from worker.training.control import Control
    from worker.training.events import CheckpointWritten, StateSaved, Stopped, TrainingEvent
    from worker.training.files import TrainingFiles
    from worker.training.resume_points import ResumePoints
    from worker.training.super_resolution.recipe import train_dsr

    points, resume_from = ResumePoints(output_dir), None
    unfinished = points.read()
    if begun is not None and unfinished is not None:
        raise ConfigError(
            f"{output_dir} holds an unfinished training",
            f"go on with it by --resume, choose another --output-dir, or remove {output_dir} to start anew",
        )
    if begun is None:
        if unfinished is None or not isinstance(unfinished.config, DsrTrainingConfig):
            raise ConfigError(f"{output_dir} holds no unfinished training of a DSR network", "give CONFIG to start one")
        begun, resume_from = unfinished.config, points.newest_whole(unfinished)
    settled = begun

    control = Control()
    best: list[CheckpointWritten] = [resume_from.best] if resume_from and resume_from.best else []

    def show(event: TrainingEvent) -> None:
        if (line := render(event)) is not None:
            click.echo(line)
        if isinstance(event, CheckpointWritten):
            best.append(event)
        if isinstance(event, StateSaved):
            points.record(settled, event)

    files = TrainingFiles(
        train_dir=Path(settled.train_dir or ""),
        val_dir=Path(settled.val_dir or ""),
        edgeface=Path(settled.edgeface),
        dsr=None if settled.dsr is None else Path(settled.dsr),
        output_dir=output_dir,
        prepared_dir=prepared_dir or output_dir / "prepared",
        resume=resume_from,
    )
    with stop_at_interrupt(control.stop):
        last = train_dsr(settled, files, show, control)
    if isinstance(last, Stopped):
        if points.read() is not None:
            click.echo(f"To go on: edgeface-finetune dsr-train --resume --output-dir {shlex.quote(str(output_dir))}")
        click.get_current_context().exit(INTERRUPTED)
    written = best[-1].full.path
    click.echo(f"Saved {copy_whole(written, output_dir / written.name)}")
    points.clear()


def _read(config: TextIO) -> DsrTrainingConfig:
    """Raises ConfigError, naming the fields, and BadParameter for what is no JSON object."""
    try:
        given = json.load(config)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"{config.name} is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise click.BadParameter(f"{config.name} holds a JSON {type(given).__name__}, not an object of fields")
    return validated_fields(DsrTrainingConfig, given)
