"""edgeface-finetune: the command line."""

import logging
import sys
from importlib.metadata import entry_points

import click
import httpx2
from pydantic import ValidationError
from sqlalchemy.exc import OperationalError

from app.cli.api import api
from app.cli.backup import backup
from app.cli.dataset import dataset
from app.cli.demo import demo
from app.cli.doctor import doctor
from app.cli.jobs import cancel, download, jobs, pause, pin, resume, retry, status, submit, unpin, watch
from app.cli.serve import serve
from app.client import ApiError, DownloadDamaged, MeasurementFailed
from app.finetune.errors import EdgefaceError

_WORKER_COMMANDS = "edgeface_finetune.commands"


class _Commands(click.Group):
    """The app's own commands, and those that an installed worker adds, imported only when one is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *(entry.name for entry in entry_points(group=_WORKER_COMMANDS))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        for entry in entry_points(group=_WORKER_COMMANDS, name=cmd_name):
            command: click.Command = entry.load()
            return command
        return None


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="edgeface-finetune")
def _edgeface_finetune() -> None:
    """Fine-tune EdgeFace on very-low-resolution faces.

    `serve` runs the whole service here; `submit`, `watch`, `pause`, `resume` and `download` talk to it; `train` trains
    without it.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for noisy in ("httpx2", "httpcore2", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


for _command in (
    api,
    backup,
    cancel,
    dataset,
    demo,
    doctor,
    download,
    jobs,
    pause,
    pin,
    resume,
    retry,
    serve,
    status,
    submit,
    unpin,
    watch,
):
    _edgeface_finetune.add_command(_command)


def main() -> None:
    """Exit status: 0 done, 1 the job or the service failed, 2 the request or its data are at fault."""
    try:
        _edgeface_finetune()
    except EdgefaceError as error:
        click.echo(f"error: {error.message} ({error.code})\n  hint: {error.hint}", err=True)
        sys.exit(1 if error.blame == "service" else 2)
    except ApiError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1 if error.problem.blame == "service" else 2)
    except ValidationError as error:
        for wrong in error.errors():
            name = "".join(f"EDGEFACE_{str(part).upper()}: " for part in wrong["loc"])
            click.echo(f"error: {name}{wrong['msg']}", err=True)
        click.echo("  hint: correct the EDGEFACE_ variables of the environment; docs/reference.md lists them", err=True)
        sys.exit(2)
    except OperationalError as error:
        click.echo(f"error: the database does not answer: {error.orig}\n  hint: see EDGEFACE_DATABASE_URL", err=True)
        sys.exit(1)
    except (DownloadDamaged, MeasurementFailed, httpx2.HTTPStatusError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    except httpx2.TransportError as error:
        click.echo(
            f"error: no API answers ({error})\n  hint: start one with edgeface-finetune serve, or name it by --url",
            err=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
