"""`edgeface-finetune evaluate`: what a backbone can do, at the terminal, without any service."""

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
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write all of it as JSON.")
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Write a self-contained HTML page to look at."
)
def evaluate(json_file: Path | None, report: Path | None, **given: Any) -> None:
    """Measure how well a backbone recognises people that it was not trained on.

    VLR probes against the HR gallery and against each other, beside the baselines: HR probes, and VLR probes without
    the DSR. With --before it says what the fine-tuning has brought. Directories and weights are paths here.
    """
    # PyTorch takes seconds to import: --help and a wrong flag do without.
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
    """For a person who watches; a file or a pipe needs none of it."""
    if sys.stderr.isatty():
        click.echo(f"\rEvaluating: {share:4.0%}{chr(10) if share >= 1 else ''}", err=True, nl=False)
