"""The commands that need no more than the API, and the command line of the distribution edgeface-finetune-client."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points

import click
import httpx2

from app.cli.dataset_records import dataset_records
from app.cli.former_names import print_former_names
from app.cli.jobs import cancel, download, jobs, pause, pin, resume, retry, status, submit, unpin, watch
from app.client import ApiError, DownloadDamaged, EstimateFailed
from app.finetune.errors import EdgefaceError

COMMANDS: tuple[click.Command, ...] = (
    cancel,
    dataset_records,
    download,
    jobs,
    pause,
    pin,
    resume,
    retry,
    status,
    submit,
    unpin,
    watch,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeface-finetune-client")
def edgeface_finetune() -> None:
    """Submit jobs to an edgeface-finetune service, watch them and download the results."""


for _command in COMMANDS:
    edgeface_finetune.add_command(_command)


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Print errors of ours, of the API and of the connection. Exit status: 1 the job or the service, 2 the request."""
    try:
        yield
    except ApiError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1 if error.problem.blame == "service" else 2)
    except EdgefaceError as error:
        click.echo(f"error: {error.message} ({error.code})\n  hint: {error.hint}", err=True)
        sys.exit(error.exit_status or (1 if error.blame == "service" else 2))
    except (DownloadDamaged, EstimateFailed, httpx2.HTTPStatusError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except httpx2.TransportError as error:
        click.echo(
            f"error: no API answers ({error})\n  hint: start one with edgeface-finetune serve, or set --url",
            err=True,
        )
        sys.exit(1)


def main() -> None:
    """Run a command. If the service is installed too, its command line, which has more commands, takes over."""
    for service in entry_points(group="edgeface_finetune.service"):
        service.load()()
        return
    with print_former_names(), exit_on_error():
        edgeface_finetune()
