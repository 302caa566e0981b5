"""The command line of the service: all commands. Each is imported when it is called."""

import io
import logging
import sys

import click
from pydantic import ValidationError

from app.cli.former_names import print_former_names
from app.cli.groups import LazyGroup
from app.cli.remote import COMMANDS, exit_on_error
from app.finetune.field_messages import field_message
from app.service_urls import without_password

_SERVICE_COMMANDS = {
    "api": "app.cli.api:api",
    "backup": "app.cli.backup:backup",
    "restore": "app.cli.backup:restore_backup",
    "dataset": "app.cli.dataset:dataset",
    "demo": "app.cli.demo:demo",
    "doctor": "app.cli.doctor:doctor",
    "keys": "app.cli.keys:keys",
    "serve": "app.cli.serve:serve",
}


@click.group(
    cls=LazyGroup,
    lazy_commands=_SERVICE_COMMANDS,
    entry_point_group="edgeface_finetune.commands",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="edgeface-finetune")
def edgeface_finetune() -> None:
    """Fine-tune EdgeFace on very-low-resolution faces.

    `serve` runs the whole service. `submit`, `watch`, `pause`, `resume` and `download` need a running service; `train`
    does not.
    """
    # `api`, `worker` and `serve` have a log of their own: app/logs.py.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx2", "httpcore2", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


for _command in COMMANDS:
    if _command.name not in _SERVICE_COMMANDS:  # of which `dataset` has those of the client, and more
        edgeface_finetune.add_command(_command)


def main() -> None:
    """Exit status: 0 success, 1 the job or the service failed, 2 the request, its data or the settings are invalid,
    3 the service cannot start before a person has acted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # As `printable`, for every name that a command prints.
    try:
        with print_former_names(), exit_on_error():
            edgeface_finetune()
    except ValidationError as error:
        for wrong in error.errors():
            name = "".join(f"EDGEFACE_{str(part).upper()}: " for part in wrong["loc"])
            click.echo(f"error: {name}{field_message(wrong, None)}", err=True)
        click.echo("  hint: correct these environment variables; docs/reference.md lists them", err=True)
        sys.exit(2)
    except Exception as error:
        # Most commands use no database, and it takes half a second to import.
        from sqlalchemy.exc import DBAPIError

        from app.database_errors import explain

        if not isinstance(error, DBAPIError) or (found := explain(error)) is None:
            raise
        reason = "" if found.message in str(error.orig) else f": {without_password(str(error.orig).strip())}"
        click.echo(f"error: {found.message}{reason} ({found.code})\n  hint: {found.hint}", err=True)
        sys.exit(found.exit_status or 1)


if __name__ == "__main__":
    main()
