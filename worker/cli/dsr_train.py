"""`edgeface-finetune dsr-train`: the training of a DSR network at the terminal, without any service."""

import json
from pathlib import Path
from typing import TextIO

import click

from app.finetune.dsr_config import DsrTrainingConfig
from worker.cli.options import validated_fields
from worker.process.allocator import keep_freed_memory
from worker.process.openmp import let_waiting_threads_sleep


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
    from worker.cli.run_here import settle, train_here
    from worker.training.super_resolution.train_dsr import train_dsr

    settled, resume_from = settle(DsrTrainingConfig, begun, output_dir)
    dsr = None if settled.dsr is None else Path(settled.dsr)
    train_here(train_dsr, settled, dsr, output_dir, prepared_dir, resume_from)


def _read(config: TextIO) -> DsrTrainingConfig:
    """Raises ConfigError, naming the fields, and BadParameter for what is no JSON object."""
    try:
        given = json.load(config)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"{config.name} is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise click.BadParameter(f"{config.name} holds a JSON {type(given).__name__}, not an object of fields")
    return validated_fields(DsrTrainingConfig, given)
