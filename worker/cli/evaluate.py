"""`edgeface-finetune evaluate`: evaluate a backbone at the terminal, without the service."""

import sys
from pathlib import Path
from typing import Any

import click

from app.finetune.config import BICUBIC
from app.finetune.evaluation_config import EvaluationConfig
from worker.cli.options import config_options, validated
from worker.process.openmp import let_waiting_threads_sleep


@click.command()
@config_options(EvaluationConfig)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the results as JSON.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write the report, one self-contained HTML page."
)
def evaluate(json_file: Path | None, report: Path | None, **given: Any) -> None:
    """Measure how well a backbone recognises people that it was not trained on.

    Compares VLR probes with the HR gallery and with each other, and adds the baselines: HR probes, and VLR probes
    without the DSR. --before measures the effect of the fine-tuning. Directories and weights are paths.
    """
    # PyTorch takes seconds to import, and --help and a wrong option need none of it.
    config = validated(EvaluationConfig, given).in_root(Path())
    let_waiting_threads_sleep()
    from worker.training.evaluation.evaluate_backbone import evaluate_backbone
    from worker.training.evaluation.report import render_report
    from worker.training.evaluation.table import render_table
    from worker.training.runtime.control import Control
    from worker.training.storage.atomic import write_bytes_whole
    from worker.training.storage.paths import EvaluationFiles

    files = EvaluationFiles(
        eval_dir=Path(config.eval_dir or ""),
        edgeface=Path(config.edgeface),
        before=None if config.before is None else Path(config.before),
        dsr=None if config.dsr == BICUBIC else Path(config.dsr),
    )
    found = evaluate_backbone(config, files, on_progress=_show_progress)
    click.echo(render_table(found.evaluation))
    if json_file is not None:
        write_bytes_whole(json_file, found.evaluation.model_dump_json(indent=2).encode(), Control())
        click.echo(f"Wrote {json_file}")
    if report is not None:
        write_bytes_whole(report, render_report(found.evaluation, found.faces).encode(), Control())
        click.echo(f"Wrote {report}")


def _show_progress(share: float) -> None:
    """Show the progress if standard error is a terminal."""
    if sys.stderr.isatty():
        click.echo(f"\rEvaluating: {share:4.0%}{chr(10) if share >= 1 else ''}", err=True, nl=False)
