"""`edgeface-finetune train`: a training at the terminal, without any service."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from app.artifacts import copy_whole
from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.errors import ConfigError
from worker.openmp import let_waiting_threads_sleep

_Command = Callable[..., None]


def _config_options(command: _Command) -> _Command:
    """A flag for every field of FinetuneConfig, so that no list of them can fall behind it."""
    for name, field in reversed(FinetuneConfig.model_fields.items()):
        command = _option(name, field)(command)
    return command


def _option(name: str, field: FieldInfo) -> Callable[[_Command], _Command]:
    choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else None
    return click.option(
        f"--{name.replace('_', '-')}",
        name,
        type=click.Choice(choices) if choices else click.STRING,
        help=field.description,
        metavar=None if choices else _metavar(name, field),
        default=None if field.default is None else str(field.default),
        show_default=True,
    )


def _metavar(name: str, field: FieldInfo) -> str:
    if name in ("dataset", "train_dir", "val_dir"):
        return "DIR"
    if name in ("edgeface", "dsr"):
        return "FILE"
    return "NUMBER" if field.annotation in (int, float, int | None) else "TEXT"


@click.command()
@_config_options
@click.option(
    "--output-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("finetuned"),
    show_default=True,
    help="Where edgeface_finetuned.pth and edgeface_backbone.pth end up.",
)
def train(output_dir: Path, **given: Any) -> None:
    """Fine-tune EdgeFace here and now, without any service.

    The options are a job's config, but directories and weights are paths here.
    """
    config = _config({name: value for name, value in given.items() if value is not None})

    let_waiting_threads_sleep()
    # PyTorch takes seconds to import: --help and a wrong flag do without.
    from worker.training.console import render
    from worker.training.events import CheckpointWritten, TrainingEvent
    from worker.training.files import TrainingFiles
    from worker.training.recipe import finetune

    best: list[CheckpointWritten] = []

    def show(event: TrainingEvent) -> None:
        if (line := render(event)) is not None:
            click.echo(line)
        if isinstance(event, CheckpointWritten):
            best.append(event)

    files = TrainingFiles(
        train_dir=Path(config.train_dir or ""),
        val_dir=Path(config.val_dir or ""),
        edgeface=Path(config.edgeface),
        dsr=None if config.dsr == BICUBIC else Path(config.dsr),
        output_dir=output_dir,
    )
    finetune(config, files, show)
    for written in (best[-1].full, best[-1].backbone):
        click.echo(f"Saved {copy_whole(written.path, output_dir / written.path.name)}")


def _config(values: dict[str, Any]) -> FinetuneConfig:
    try:
        return FinetuneConfig.model_validate(values)
    except ValidationError as invalid:
        wrong = [f"{'.'.join(map(str, error['loc'])) or 'config'}: {error['msg']}" for error in invalid.errors()]
        raise ConfigError("; ".join(wrong), "see edgeface-finetune train --help for every option") from None
