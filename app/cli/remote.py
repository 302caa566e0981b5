"""The commands that need no more than the API, and the command line of the distribution edgeface-finetune-client.

Each command is imported when it is called: client/assemble.py follows the places below as it follows imports.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from app.cli.former_names import print_former_names
from app.cli.groups import LazyGroup

COMMANDS = {
    "cancel": "app.cli.control:cancel",
    "compare": "app.cli.compare:compare",
    "compare-faces": "app.cli.faces:compare_faces",
    "dataset": "app.cli.dataset_records:dataset_records",
    "delete": "app.cli.control:delete",
    "download": "app.cli.jobs:download",
    "embed": "app.cli.faces:embed",
    "jobs": "app.cli.jobs:jobs",
    "logs": "app.cli.job_logs:logs",
    "pause": "app.cli.control:pause",
    "pin": "app.cli.control:pin",
    "resume": "app.cli.control:resume",
    "retry": "app.cli.control:retry",
    "status": "app.cli.jobs:status",
    "submit": "app.cli.submit:submit",
    "sweep": "app.cli.sweep:sweep",
    "tag": "app.cli.control:tag",
    "unpin": "app.cli.control:unpin",
    "upload": "app.cli.upload:upload",
    "watch": "app.cli.jobs:watch",
}


@click.group(cls=LazyGroup, lazy_commands=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeface-finetune-client")
def edgeface_finetune() -> None:
    """Submit jobs to an edgeface-finetune service, watch them and download the results."""


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print errors of ours, of the API and of the connection. Exit status: 1 the job or the service, 2 the request."""
    try:
        yield
    except Exception as error:
        # --help needs none of their classes.
        from app.cli.explained_errors import explain

        if (explained := explain(error)) is None:
            raise
        text, status = explained
        click.echo(text, err=True)
        sys.exit(status)


def main() -> None:
    """Run a command. If the service is installed too, its command line, which has more commands, takes over."""
    from importlib.metadata import entry_points

    for service in entry_points(group="edgeface_finetune.service"):
        service.load()()
        return
    with print_former_names(), exit_on_error():
        edgeface_finetune()
