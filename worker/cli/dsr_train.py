"""`edgeface-finetune dsr-train`: train a DSR network at the terminal, without the service."""

from pathlib import Path
from typing import BinaryIO

import click


@click.command()
@click.argument("config", type=click.File("rb"), required=False)
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
def dsr_train(config: BinaryIO | None, output_dir: Path, prepared_dir: Path | None, resume: bool) -> None:
    """Train a DSR network on this machine, without the service, from the JSON file CONFIG (`-` reads standard input).

    CONFIG has the fields of POST /dsr-trainings (docs/dsr.md lists them); directories are paths, weights are paths or
    names in EDGEFACE_WEIGHTS_DIR. Ctrl-C saves the training state and exits. --resume resumes from it, also after a
    crash, with the same result as an uninterrupted training.
    """
    if (config is None) != resume:
        raise click.UsageError("give either CONFIG, to start a training, or --resume, to resume one")
    from rich.console import Console

    from app.cli.live_progress import LiveProgress
    from app.finetune.dsr_config import DsrTrainingConfig
    from app.finetune.phases import PhaseStarted
    from worker.cli.named_files import find_named_files
    from worker.cli.options import validated_json
    from worker.process.allocator import keep_freed_memory
    from worker.process.openmp import let_waiting_threads_sleep

    begun = None if config is None else validated_json(DsrTrainingConfig, config)
    named = None if begun is None else find_named_files(begun)
    # PyTorch takes seconds to import, and a wrong config needs none of it.
    with LiveProgress(Console()) as live:
        live.show(PhaseStarted("starting"))
        let_waiting_threads_sleep()
        keep_freed_memory()
        from worker.cli.run_here import resolve_training, train_here
        from worker.training.super_resolution.train_dsr import train_dsr

        resolved, resume_from = resolve_training(DsrTrainingConfig, begun, output_dir)
        named = named or find_named_files(resolved)
        train_here(train_dsr, resolved, named, output_dir, prepared_dir, resume_from, live)
