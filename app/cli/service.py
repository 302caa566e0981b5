"""The command line of the service: all commands. Each is imported when it is called."""

import io
import logging
import sys

import click

from app.cli.former_names import print_former_names
from app.cli.groups import LazyGroup
from app.cli.remote import COMMANDS, exit_on_error

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
    lazy_commands={**COMMANDS, **_SERVICE_COMMANDS},  # `dataset` of the service has those of the client, and more
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


def main() -> None:
    """Exit status: 0 success, 1 the job or the service failed, 2 the request, its data or the settings are invalid,
    3 the service cannot start before a person has acted."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # As `printable`, for every name that a command prints.
    try:
        with print_former_names(), exit_on_error():
            edgeface_finetune()
    except Exception as error:
        # --help needs none of their classes.
        from app.cli.service_errors import explain

        if (explained := explain(error)) is None:
            raise
        text, status = explained
        click.echo(text, err=True)
        sys.exit(status)


if __name__ == "__main__":
    main()
