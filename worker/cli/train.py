"""`edgeface-finetune train`: a training at the terminal, without any service."""

from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.errors import ConfigError
from worker.cli.options import config_options, validated
from worker.process.allocator import keep_freed_memory
from worker.process.openmp import let_waiting_threads_sleep


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
    begun = None if resume else validated(FinetuneConfig, given)
    let_waiting_threads_sleep()
    keep_freed_memory()
    from worker.cli.run_here import settle, train_here
    from worker.training.finetune import finetune

    config, resume_from = settle(FinetuneConfig, begun, output_dir)
    if resume_from is not None:
        _refuse_other_options(given, config)
    dsr = None if config.dsr == BICUBIC else Path(config.dsr)
    train_here(finetune, config, dsr, output_dir, prepared_dir, resume_from)


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
