"""`edgeface-finetune profile`: show how a training spends its time."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

if TYPE_CHECKING:
    from worker.cli.profile_training import Profile


@click.command()
@click.argument("config", type=click.File("rb"))
@click.option("--epochs", default=2, show_default=True, type=click.IntRange(1), help="Most epochs of each stage.")
@click.option(
    "--steps",
    default=20,
    show_default=True,
    type=click.IntRange(1),
    help="Most steps per epoch. Trains on a sample of train and validates on an equal share of val.",
)
@click.option(
    "--trace",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the Chrome trace (chrome://tracing, ui.perfetto.dev).  [default: profile-trace.json in var/]",
)
def profile(config: BinaryIO, epochs: int, steps: int, trace: Path | None) -> None:
    """Profile the fine-tuning that the JSON file CONFIG describes (`-` reads standard input).

    The training runs on this machine; directories are paths, weights are paths or names in EDGEFACE_WEIGHTS_DIR. It
    prepares the faces again and keeps no file but the trace. The profiler slows the training down, small steps most.
    """
    from app.finetune.config import FinetuneConfig
    from app.settings import Settings
    from worker.cli.named_files import find_named_files
    from worker.cli.options import validated_json
    from worker.process.openmp import let_waiting_threads_sleep

    asked = validated_json(FinetuneConfig, config)
    named = find_named_files(asked)
    limited = asked.model_copy(
        update={
            "stage1_epochs": min(asked.stage1_epochs, epochs),
            "stage2_epochs": min(asked.stage2_epochs, epochs),
        }
    )
    trace = trace or Settings().var_dir / "profile-trace.json"
    let_waiting_threads_sleep()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else it warns about a missing GPU
    from app.cli.event_lines import event_line
    from app.finetune.events import TrainingEvent
    from app.finetune.part_reading import built_reading
    from worker.cli.profile_training import profile_training, sampled
    from worker.training.storage.paths import TrainingFiles

    def show(event: TrainingEvent) -> None:
        if (line := event_line(event)) is not None:
            click.echo(line, err=True)

    with tempfile.TemporaryDirectory(prefix="edgeface-profiled-") as folder:
        files = TrainingFiles(
            train_dir=Path(asked.train_dir or ""),
            val_dir=Path(asked.val_dir or ""),
            edgeface=named.edgeface,
            dsr=named.dsr,
            copies=named.copies,
            output_dir=Path(folder) / "job" / "attempt-1",
            prepared_dir=Path(folder) / "prepared",
            train_reading=built_reading(asked.train_dir),
            val_reading=built_reading(asked.val_dir),
        )
        with sampled(files, steps * asked.batch_size) as some:
            found = profile_training(limited, some, trace, show)
    click.echo(table(found))
    click.echo(
        f"\n{limited.stage1_epochs} of {asked.stage1_epochs} epochs of stage 1, {limited.stage2_epochs} of "
        f"{asked.stage2_epochs} of stage 2, at most {steps} steps each; trace: {trace}"
    )


def table(found: "Profile") -> str:
    """Render the profile as a text table, the longest part first."""
    width = max(len(part.name) for part in found.parts)
    lines = [f"{'part':<{width}}  {'seconds':>8}  {'share':>6}  {'calls':>6}"]
    lines += [
        f"{part.name:<{width}}  {part.seconds:>8.3f}  {part.seconds / found.seconds:>6.1%}  {part.calls:>6}"
        for part in found.parts
    ]
    return "\n".join([*lines, f"{'all':<{width}}  {found.seconds:>8.3f}  {1:>6.1%}"])
