"""`edgeface-finetune dsr-train`: train a DSR network at the terminal, without the service."""

from pathlib import Path
from typing import TextIO

import click

from app.finetune.dsr_config import DsrTrainingConfig
from worker.cli.options import validated_json
from worker.process.allocator import keep_freed_memory
from worker.process.openmp import let_waiting_threads_sleep


@click.command()
@click.argument("config", type=click.File("r"), required=False)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("dsr"),
    show_default=True,
    help="Folder for dsr.pth.",
)
@click.option(
    "--prepared-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Cache folder for prepared faces.  [default: prepared/ in the output folder]",
)
@click.option("--resume", is_flag=True, help="Resume the unfinished training in the output folder, without CONFIG.")
def dsr_train(config: TextIO | None, output_dir: Path, prepared_dir: Path | None, resume: bool) -> None:
    """Train a DSR network on this machine, without the service, from the JSON file CONFIG (`-` reads standard input).

    CONFIG has the fields of POST /dsr-trainings (docs/dsr.md lists them); directories and weights are paths. Ctrl-C
    saves the training state and exits. --resume resumes from it, also after a crash, with the same result as an
    uninterrupted training.
    """
    if (config is None) != resume:
        raise click.UsageError("give either CONFIG, to start a training, or --resume, to resume one")
    begun = None if config is None else validated_json(DsrTrainingConfig, config)
    # PyTorch takes seconds to import, and --help and a wrong config need none of it.
    let_waiting_threads_sleep()
    keep_freed_memory()
    from worker.cli.run_here import resolve_training, train_here
    from worker.training.super_resolution.train_dsr import train_dsr

    resolved, resume_from = resolve_training(DsrTrainingConfig, begun, output_dir)
    dsr = None if resolved.dsr is None else Path(resolved.dsr)
    train_here(train_dsr, resolved, dsr, output_dir, prepared_dir, resume_from)
