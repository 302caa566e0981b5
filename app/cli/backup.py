"""`edgeface-finetune backup`: a copy of the database while the service runs."""

from pathlib import Path

import click
from humanize import naturalsize

from app.backup import back_up
from app.settings import Settings


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
def backup(file: Path, force: bool) -> None:
    """Copy the SQLite database to FILE, consistent and checked; the service may run on meanwhile.

    Checkpoints are files of their own and not in it. docs/operations.md says how to copy those, and how to restore.
    For PostgreSQL it does nothing but say the pg_dump command. Exit status 2 then, or if FILE exists.
    """
    size = back_up(Settings().database_url, file, force=force)
    click.echo(f"{file}: {naturalsize(size)}")
