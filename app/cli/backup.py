"""`edgeface-finetune backup`: copy the database while the service runs."""

from pathlib import Path

import click
from humanize import naturalsize

from app.backup import back_up
from app.settings import Settings


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(file: Path, force: bool) -> None:
    """Copy the SQLite database to FILE, as a checked snapshot. The service may run.

    Checkpoints are separate files: docs/operations.md describes how to copy them, and how to restore. With PostgreSQL
    it only prints the pg_dump command and exits with status 2, as it does if FILE exists.
    """
    size = back_up(Settings().database_url, file, force=force)
    click.echo(f"{file}: {naturalsize(size)}")
