"""`submit`, `watch`, `jobs`, `cancel`, `download`: the commands that talk to a running service."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click
from rich.console import Console

from app.cli.live import watch_job
from app.client import Client, Format
from app.jobs.states import JobStatus
from app.settings import Settings

_Function = TypeVar("_Function", bound=Callable[..., Any])


def _url_option(function: _Function) -> _Function:
    option = click.option(
        "--url",
        envvar="EDGEFACE_URL",
        default=lambda: f"http://{Settings().host}:{Settings().port}",
        show_default="where `serve` listens here",
        help="The API.",
    )
    return option(function)


@click.command()
@click.argument("config", type=click.File("r"))
@click.option("--dry-run", is_flag=True, help="Check and resolve the config, queue nothing.")
@click.option("--watch", "watching", is_flag=True, help="Watch the job until it ends.")
@_url_option
def submit(config: TextIO, dry_run: bool, watching: bool, url: str) -> None:
    """Queue the job that the JSON file CONFIG describes (`-` reads the terminal). Prints its id."""
    try:
        content = json.load(config)
    except json.JSONDecodeError as error:
        raise click.BadParameter(f"{config.name} is not JSON: {error}") from None
    with Client(url) as client:
        if dry_run:
            click.echo(client.dry_run(content).model_dump_json(indent=2))
            return
        job = client.submit(content)
        for warning in job.warnings:
            click.echo(f"warning: {warning.message}", err=True)
        click.echo(job.id)
        if watching:
            _watch(client, job.id)


@click.command()
@click.argument("job_id", metavar="JOB")
@_url_option
def watch(job_id: str, url: str) -> None:
    """Show JOB's progress and epochs until it ends. Exit status 1 unless it succeeded."""
    with Client(url) as client:
        _watch(client, job_id)


@click.command()
@click.option("--status", "statuses", multiple=True, type=click.Choice([status.value for status in JobStatus]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@_url_option
def jobs(statuses: tuple[str, ...], limit: int, url: str) -> None:
    """List jobs, newest first."""
    with Client(url) as client:
        page = client.list(tuple(JobStatus(status) for status in statuses), limit=limit)
    for job in page.jobs:
        submitted = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
        click.echo(f"{job.id}  {submitted}  {job.status:<10}  {job.progress:>4.0%}  {job.config.train_dir}")


@click.command()
@click.argument("job_id", metavar="JOB")
@_url_option
def cancel(job_id: str, url: str) -> None:
    """Stop JOB. Its best checkpoint so far stays."""
    with Client(url) as client:
        click.echo(client.cancel(job_id).status)


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: the file's own name.")
@click.option("--format", "format_", type=click.Choice(["full", "backbone"]), default="full", show_default=True)
@_url_option
def download(job_id: str, output: Path | None, format_: Format, url: str) -> None:
    """Download JOB's checkpoint: edgeface_finetuned.pth, or the bare backbone. Prints its path."""
    name = "edgeface_finetuned.pth" if format_ == "full" else "edgeface_backbone.pth"
    with Client(url) as client:
        click.echo(client.download(job_id, output or Path(name), format=format_))


def _watch(client: Client, job_id: str) -> None:
    if watch_job(client, job_id, Console()).status is not JobStatus.SUCCEEDED:
        sys.exit(1)
