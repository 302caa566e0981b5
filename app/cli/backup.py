"""`edgeface-finetune backup` and `restore`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.finetune.counted import counted

if TYPE_CHECKING:
    from app.backup.contents import Manifest


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--with-files", is_flag=True, help="Make the folder TARGET, with the database and the service's files.")
@click.option("--force", is_flag=True, help="Replace the file TARGET if it exists.")
def backup(target: Path, with_files: bool, force: bool) -> None:
    """Copy the SQLite database to the file TARGET, as a checked snapshot. The service may run.

    With --with-files TARGET is a folder with the database (SQLite or PostgreSQL), checkpoints, states, reports and
    uploads, from which `restore` brings the service back. Without it, with PostgreSQL the command only prints the
    pg_dump command and exits with status 2, as it does if TARGET exists.
    """
    from humanize import naturalsize

    from app.backup import back_up, back_up_all
    from app.finetune.errors import ConfigError
    from app.settings import Settings

    settings = Settings()
    if with_files:
        if force:
            raise ConfigError("--force replaces a file, not a folder", "name a new folder, or leave out --force")
        _print(target, back_up_all(settings, target))
        return
    size = back_up(settings.database_url, target, force=force)
    click.echo(f"{target}: {naturalsize(size)}")


@click.command("restore")
@click.argument("folder", type=click.Path(file_okay=False, exists=True, path_type=Path))
def restore_backup(folder: Path) -> None:
    """Restore the service from FOLDER, which `backup --with-files` wrote, into an empty EDGEFACE_VAR_DIR and an empty
    database. The service must not run. Every file is compared with its sha256 first."""
    from app.backup import restore
    from app.settings import Settings

    _print(folder, restore(Settings(), folder))
    click.echo("restored; start the service, then run edgeface-finetune doctor")


def _print(folder: Path, manifest: "Manifest") -> None:
    from humanize import naturalsize

    size = sum(file.size for file in manifest.files)
    click.echo(f"{folder}: {counted(len(manifest.files), 'file')}, {naturalsize(size)}, of {manifest.made_at}")
    for path in manifest.left_out:
        click.echo(f"left out, since it is no regular file: {path}", err=True)
