"""`edgeface-finetune profile`: where the time of a training goes."""

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click
from pydantic import ValidationError

from app.finetune.config import BICUBIC, FinetuneConfig
from app.finetune.errors import ConfigError
from app.settings import Settings
from worker.process.openmp import let_waiting_threads_sleep

if TYPE_CHECKING:
    from worker.cli.profile_training import Profile


@click.command()
@click.argument("config", type=click.File("r"))
@click.option("--epochs", default=2, show_default=True, type=click.IntRange(1), help="At most so many of each stage.")
@click.option(
    "--steps",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="At most so many an epoch: trains on a sample of the images, and validates on as small a share of val's.",
)
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the Chrome trace goes (chrome://tracing, ui.perfetto.dev).  [default: profile-trace.json in var/]",
)
def profile(config: TextIO, epochs: int, steps: int, trace: Path | None) -> None:
    """Show where the time of the training goes that the JSON file CONFIG (`-` reads the terminal) describes.

    It trains here, as `train` does: directories and weights are paths. Faces are prepared anew and nothing is kept but
    the trace. The profiler itself makes everything somewhat slower, small steps most.
    """
    asked = _read(config)
    limited = asked.model_copy(
        update={
            "stage1_epochs": min(asked.stage1_epochs, epochs),
            "stage2_epochs": min(asked.stage2_epochs, epochs),
        }
    )
    trace = trace or Settings().var_dir / "profile-trace.json"
    let_waiting_threads_sleep()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would tell of a GPU that is not there
    from app.finetune.events import TrainingEvent
    from worker.cli.profile_training import profile_training, sampled
    from worker.training.console import render
    from worker.training.storage.paths import TrainingFiles

    def show(event: TrainingEvent) -> None:
        if (line := render(event)) is not None:
            click.echo(line, err=True)

    with tempfile.TemporaryDirectory(prefix="edgeface-profiled-") as folder:
        files = TrainingFiles(
            train_dir=Path(asked.train_dir or ""),
            val_dir=Path(asked.val_dir or ""),
            edgeface=Path(asked.edgeface),
            dsr=None if asked.dsr == BICUBIC else Path(asked.dsr),
            output_dir=Path(folder) / "job" / "attempt-1",
            prepared_dir=Path(folder) / "prepared",
        )
        with sampled(files, steps * asked.batch_size) as some:
            found = profile_training(limited, some, trace, show)
    click.echo(table(found))
    click.echo(
        f"\n{limited.stage1_epochs} of {asked.stage1_epochs} epochs of stage 1, {limited.stage2_epochs} of "
        f"{asked.stage2_epochs} of stage 2, at most {steps} steps each; trace: {trace}"
    )


def table(found: "Profile") -> str:
    """The parts, the longest first."""
    width = max(len(part.name) for part in found.parts)
    lines = [f"{'part':<{width}}  {'seconds':>8}  {'share':>6}  {'calls':>6}"]
    lines += [
        f"{part.name:<{width}}  {part.seconds:>8.3f}  {part.seconds / found.seconds:>6.1%}  {part.calls:>6}"
        for part in found.parts
    ]
    return "\n".join([*lines, f"{'all':<{width}}  {found.seconds:>8.3f}  {1:>6.1%}"])


def _read(config: TextIO) -> FinetuneConfig:
    try:
        return FinetuneConfig.model_validate(json.load(config))
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"{config.name} is not JSON: {error}") from None
    except ValidationError as invalid:
        wrong = [f"{'.'.join(map(str, error['loc'])) or 'config'}: {error['msg']}" for error in invalid.errors()]
        raise ConfigError("; ".join(wrong), "correct the fields named; the README lists every field") from None
