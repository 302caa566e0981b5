"""`edgeface-finetune dataset register`, `list`, `show` and `remove`: the records of a service's datasets."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from app.api_models.job_status import JobStatus
from app.cli.connecting import connect, url_option
from app.cli.groups import LazyGroup
from app.finetune.counted import counted

if TYPE_CHECKING:
    from app.api_models.datasets import DatasetSummary, DatasetView


@click.command()
@click.argument("name")
@click.option(
    "--subject-pattern",
    help="guide, folder, lfw, multipie, casia, scface, or a regular expression whose first group is the subject.",
)
@click.option("--edgeface", help="Weights that judge whether the subjects' names are right. Default: edgeface_xxs.pt.")
@click.option("--priority", default=0, show_default=True, type=click.IntRange(-100, 100), help="Of the check.")
@click.option("--watch", "watching", is_flag=True, help="Watch the check until it ends.")
@url_option
def register(
    name: str, subject_pattern: str | None, edgeface: str | None, priority: int, watching: bool, url: str
) -> None:
    """Register the dataset NAME, a folder in the datasets' root, or read it again. Prints the id of its check.

    Exit status 1 if the check that is watched does not succeed.
    """
    with connect(url) as client:
        record = client.register(name, subject_pattern=subject_pattern, edgeface=edgeface, priority=priority)
        if not watching or record.check is None:
            for line in dataset_lines(record):
                click.echo(line, err=True)
            click.echo("" if record.check is None else record.check.job)
            return
        from rich.console import Console

        from app.cli.live import watch_job

        ended = watch_job(client, record.check.job, Console())
        for line in dataset_lines(client.dataset(record.id)):
            click.echo(line)
    if ended.status is not JobStatus.SUCCEEDED:
        sys.exit(1)


@click.command("list")
@url_option
def list_records(url: str) -> None:
    """List the datasets of the service."""
    with connect(url) as client:
        found = client.datasets()
    records = {record.name: record for record in found.datasets}
    for name in sorted({*found.names, *records}):
        click.echo(_summary_line(records[name]) if name in records else f"{name}: not registered")


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer of the API.")
@url_option
def show(name: str, as_json: bool, url: str) -> None:
    """Show the record of the dataset NAME: its parts, and what its check found."""
    with connect(url) as client:
        record = client.dataset(name)
    click.echo(record.model_dump_json(indent=2) if as_json else "\n".join(dataset_lines(record)))


@click.command()
@click.argument("name")
@url_option
def remove(name: str, url: str) -> None:
    """Remove the record of the dataset NAME. The folder stays."""
    with connect(url) as client:
        record = client.remove_dataset(name)
    click.echo(f"removed the record of {record.name}; the folder stays")


RECORD_COMMANDS = {
    "list": "app.cli.dataset_records:list_records",
    "register": "app.cli.dataset_records:register",
    "remove": "app.cli.dataset_records:remove",
    "show": "app.cli.dataset_records:show",
}


@click.group("dataset", cls=LazyGroup, lazy_commands=RECORD_COMMANDS)
def dataset_records() -> None:
    """The records of a service's datasets."""


def dataset_lines(record: "DatasetView") -> Iterator[str]:
    """Yield the record in words."""
    yield _summary_line(record)
    for part in record.parts:
        images = f"{part.vlr_images} VLR and {counted(part.hr_images, 'HR image')}"
        yield f"  {part.part}: {counted(part.subjects, 'subject')}, {images}"
        if part.problem is not None:
            yield f"  problem: {part.problem.message} ({part.problem.code})"
    for warning in record.warnings:
        where = "" if warning.part is None else f"{warning.part}: "
        yield f"  warning: {where}{warning.message} ({warning.code})"


def _summary_line(record: "DatasetSummary") -> str:
    state = "" if record.fresh else ", changed since it was listed"
    if record.checked_at is not None:
        state += f", checked {record.checked_at.astimezone():%Y-%m-%d %H:%M}"
    elif record.check is not None:
        state += f", check {record.check.job} is {record.check.status}"
    else:
        state += ", not checked"
    digest = "" if record.manifest is None else f", manifest {record.manifest[:12]}"
    return f"{record.name}: subject pattern {record.subject_pattern}{state}{digest}"
