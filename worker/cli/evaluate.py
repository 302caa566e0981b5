"""`edgeface-finetune evaluate`: evaluate a backbone at the terminal, without the service."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.finetune.errors import printable
from app.finetune.evaluation_config import EvaluationConfig
from worker.cli.options import config_command, config_options, validated

if TYPE_CHECKING:
    from app.cli.live_progress import LiveProgress
    from worker.cli.named_files import NamedFiles
    from worker.training.evaluation.evaluate_backbone import Evaluated


@click.command(cls=config_command(EvaluationConfig))
@config_options(EvaluationConfig)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as JSON.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the report, one self-contained HTML page."
)
def evaluate(json_file: Path | None, report: Path | None, **given: Any) -> None:
    """Measure how well a backbone recognises people that it was not trained on.

    Compares VLR probes with the HR gallery and with each other, and adds the baselines: HR probes, and VLR probes
    without the DSR. --before measures the effect of the fine-tuning. Directories are paths, weights are paths or
    names in EDGEFACE_WEIGHTS_DIR.
    """
    config = validated(EvaluationConfig, given).in_root(Path())
    from rich.console import Console

    from app.cli.live_progress import LiveProgress
    from app.finetune.phases import PhaseStarted
    from worker.cli.named_files import find_named_files
    from worker.process.openmp import let_waiting_threads_sleep

    named = find_named_files(config)
    let_waiting_threads_sleep()
    # The table goes to the standard output, the progress to the other, so that the table can be piped.
    with LiveProgress(Console(stderr=True)) as live:
        live.show(PhaseStarted("starting"))
        found = _evaluated(config, named, live)
    from worker.training.evaluation.report import render_report
    from worker.training.evaluation.table import render_table
    from worker.training.runtime.control import Control
    from worker.training.storage.atomic import write_bytes_whole

    click.echo(render_table(found.evaluation))
    if json_file is not None:
        write_bytes_whole(json_file, found.evaluation.model_dump_json(indent=2).encode(), Control())
        click.echo(f"Wrote {json_file}")
    if report is not None:
        write_bytes_whole(report, printable(render_report(found.evaluation, found.faces)).encode(), Control())
        click.echo(f"Wrote {report}")


def _evaluated(config: EvaluationConfig, named: "NamedFiles", live: "LiveProgress") -> "Evaluated":
    # PyTorch takes seconds to import, and a wrong option needs none of it.
    from app.finetune.part_reading import built_reading
    from worker.training.evaluation.job import evaluate_in_phases
    from worker.training.runtime.control import Control
    from worker.training.runtime.progress import Progress
    from worker.training.storage.paths import EvaluationFiles

    files = EvaluationFiles(
        eval_dir=Path(config.eval_dir or ""),
        edgeface=named.edgeface,
        before=named.before,
        dsr=named.dsr,
        copies=named.copies,
        eval_reading=built_reading(config.eval_dir),
    )
    return evaluate_in_phases(config, files, live.show, Control(), Progress(live.show))
