"""The command line of the service: all commands. Each is imported when it is called."""

import logging
import sys

import click
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from app.cli.former_names import print_former_names
from app.cli.groups import LazyGroup
from app.cli.remote import COMMANDS, exit_on_api_error
from app.finetune.errors import EdgefaceError

_SERVICE_COMMANDS = {
    "api": "app.cli.api:api",
    "backup": "app.cli.backup:backup",
    "dataset": "app.cli.dataset:dataset",
    "demo": "app.cli.demo:demo",
    "doctor": "app.cli.doctor:doctor",
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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx2", "httpcore2", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


for _command in COMMANDS:
    edgeface_finetune.add_command(_command)


def main() -> None:
    """Exit status: 0 success, 1 the job or the service failed, 2 the request or its data are invalid."""
    try:
        with print_former_names(), exit_on_api_error():
            edgeface_finetune()
    except EdgefaceError as error:
        click.echo(f"error: {error.message} ({error.code})\n  hint: {error.hint}", err=True)
        sys.exit(1 if error.blame == "service" else 2)
    except ValidationError as error:
        for wrong in error.errors():
            name = "".join(f"EDGEFACE_{str(part).upper()}: " for part in wrong["loc"])
            click.echo(f"error: {name}{wrong['msg']}", err=True)
        click.echo("  hint: correct these environment variables; docs/reference.md lists them", err=True)
        sys.exit(2)
    except OperationalError as error:
        click.echo(f"error: the database is unavailable: {error.orig}\n  hint: see EDGEFACE_DATABASE_URL", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
