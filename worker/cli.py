"""`edgeface-finetune train`: a training at the terminal, without any service."""

import shlex
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from app.artifacts import copy_whole
from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.errors import ConfigError
from worker.allocator import keep_freed_memory
from worker.config_options import config_options, validated
from worker.interrupt import INTERRUPTED, stop_at_interrupt
from worker.openmp import let_waiting_threads_sleep


@click.command()
@config_options(FinetuneConfig)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("finetuned"),
    show_default=True,
    help="Where edgeface_finetuned.pth and edgeface_backbone.pth end up.",
)
@click.option(
    "--prepared-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where prepared faces are kept for the next training.  [default: prepared/ in the output folder]",
)
@click.option(
    "--resume", is_flag=True, help="Go on with the unfinished training in the output folder, with the options it had."
)
def train(output_dir: Path, prepared_dir: Path | None, resume: bool, **given: Any) -> None:
    """Fine-tune EdgeFace here and now, without any service.

    The options are a job's config, but directories and weights are paths here. Ctrl-C saves the training's state and
    ends; --resume then goes on, as it does after a crash, and the outcome is that of an unbroken training.
    """
    # PyTorch takes seconds to import: --help and a wrong flag do without.
    config = None if resume else validated(FinetuneConfig, given)
    let_waiting_threads_sleep()
    keep_freed_memory()
    from worker.training.console import render
    from worker.training.control import Control
    from worker.training.events import CheckpointWritten, Finished, StateSaved, Stopped, TrainingEvent
    from worker.training.files import TrainingFiles
    from worker.training.recipe import finetune
    from worker.training.resume_points import ResumePoints

    points, resume_from = ResumePoints(output_dir), None
    unfinished = points.read()
    if config is None:
        if unfinished is None:
            raise ConfigError(f"{output_dir} holds no unfinished training", "leave --resume out to start one")
        if not isinstance(unfinished.config, FinetuneConfig):
            raise ConfigError(
                f"{output_dir} holds the training of a DSR network", "go on with it by dsr-train --resume"
            )
        config, resume_from = unfinished.config, points.newest_whole(unfinished)
        _refuse_other_options(given, config)
    elif unfinished is not None:
        raise ConfigError(
            f"{output_dir} holds an unfinished training",
            f"go on with it by --resume, choose another --output-dir, or remove {output_dir} to start anew",
        )

    control = Control()
    best: list[CheckpointWritten] = [resume_from.best] if resume_from and resume_from.best else []

    def show(event: TrainingEvent) -> None:
        if (line := render(event)) is not None:
            click.echo(line)
        if isinstance(event, CheckpointWritten):
            best.append(event)
        if isinstance(event, StateSaved):
            points.record(config, event)

    files = TrainingFiles(
        train_dir=Path(config.train_dir or ""),
        val_dir=Path(config.val_dir or ""),
        edgeface=Path(config.edgeface),
        dsr=None if config.dsr == BICUBIC else Path(config.dsr),
        output_dir=output_dir,
        prepared_dir=prepared_dir or output_dir / "prepared",
        resume=resume_from,
    )
    with stop_at_interrupt(control.stop):
        last = finetune(config, files, show, control)
    if isinstance(last, Stopped):
        if points.read() is not None:
            click.echo(f"To go on: edgeface-finetune train --resume --output-dir {shlex.quote(str(output_dir))}")
        click.get_current_context().exit(INTERRUPTED)
    for written in best[-1].files:
        click.echo(f"Saved {copy_whole(written.path, output_dir / written.path.name)}")
    if isinstance(last, Finished) and last.evaluated is not None:
        click.echo(f"Saved {last.evaluated.report.path}")
    points.clear()


def _refuse_other_options(given: dict[str, Any], config: FinetuneConfig) -> None:
    """What is given with --resume has to be what the training began with."""
    context = click.get_current_context()
    for name, value in given.items():
        if context.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        try:
            same = getattr(FinetuneConfig.model_validate({**config.model_dump(), name: value}), name) == getattr(
                config, name
            )
        except ValidationError:
            same = False
        if not same:
            raise ConfigError(
                f"--{name.replace('_', '-')} {value} is not what this training began with ({getattr(config, name)})",
                "leave it out, or start a training anew in another --output-dir",
            )
