"""`edgeface-finetune demo`: run a job through the real service, from faces to a checkpoint loaded in plain PyTorch."""

from pathlib import Path

import click


@click.command()
@click.option("--faces", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A folder per subject.")
@click.option("--weights", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="EdgeFace-XXS weights.")
@click.option("--vlr-size", default=12, show_default=True, type=click.IntRange(4, 64))
@click.option("--var-dir", default=Path("var/demo"), show_default=True, type=click.Path(path_type=Path))
def demo(faces: Path | None, weights: Path | None, vlr_size: int, var_dir: Path) -> None:
    """Run a job through the real service and print the recognition before and after.

    Without --weights it downloads the official EdgeFace-XXS, or uses an untrained backbone if that fails. Without
    --faces it draws faces. The output labels both.
    """
    from app.cli.run.demo import run_demo

    run_demo(faces, weights, vlr_size, var_dir)
