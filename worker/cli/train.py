"""`edgeface-finetune train`: fine-tune at the terminal, without the service."""

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from app.finetune.config import FinetuneConfig
from app.finetune.deprecations import RENAMED_FIELDS
from app.finetune.errors import ConfigError
from worker.cli.options import config_command, config_options, validated


@click.command(cls=config_command(FinetuneConfig))
@config_options(FinetuneConfig)
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("finetuned"),
    show_default=True,
    help="Folder for edgeface_finetuned.pth and edgeface_backbone.pth.",
)
@click.option(
    "--prepared-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Cache folder for prepared faces.  [default: prepared/ in the output folder]",
)
@click.option(
    "--resume", is_flag=True, help="Resume the unfinished training in the output folder with its original options."
)
def train(output_dir: Path, prepared_dir: Path | None, resume: bool, **given: Any) -> None:
    """Fine-tune EdgeFace on this machine, without the service.

    The options are the fields of a job's config; directories are paths, weights are paths or names in
    EDGEFACE_WEIGHTS_DIR. Ctrl-C saves the training state and exits. --resume resumes from it, also after a crash, with
    the same result as an uninterrupted training.
    """
    begun = None if resume else validated(FinetuneConfig, given)
    from rich.console import Console

    from app.cli.live_progress import LiveProgress
    from app.finetune.phases import PhaseStarted
    from worker.cli.named_files import find_named_files
    from worker.process.allocator import keep_freed_memory
    from worker.process.openmp import let_waiting_threads_sleep

    named = None if begun is None else find_named_files(begun)
    with LiveProgress(Console()) as live:
        live.show(PhaseStarted("starting"))
        let_waiting_threads_sleep()
        keep_freed_memory()
        # PyTorch takes seconds to import, and a wrong option needs none of it.
        from worker.cli.run_here import resolve_training, train_here
        from worker.training.finetune import finetune

        config, resume_from = resolve_training(FinetuneConfig, begun, output_dir)
        if resume_from is not None:
            _refuse_other_options(given, config)
        named = named or find_named_files(config)
        train_here(finetune, config, named, output_dir, prepared_dir, resume_from, live)


def _refuse_other_options(given: dict[str, Any], config: FinetuneConfig) -> None:
    """Raise ConfigError if an option given with --resume differs from the training's original config."""
    context = click.get_current_context()
    for name, value in given.items():
        if context.get_parameter_source(name) is not click.core.ParameterSource.COMMANDLINE:
            continue
        field = RENAMED_FIELDS.get(name, name)
        original = getattr(config, field)
        try:
            same = getattr(FinetuneConfig.model_validate({**config.model_dump(), field: value}), field) == original
        except ValidationError:
            same = False
        if not same:
            raise ConfigError(
                f"--{name.replace('_', '-')} {value} differs from the training to resume, which has {original}",
                "leave the option out, or start a new training in another --output-dir",
            )
