"""The commands that talk to a running service."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import click
from rich.console import Console

from app.api_models.job import JobView
from app.api_models.job_status import JobStatus
from app.cli.durations import estimate_lines
from app.cli.event_lines import point_line
from app.cli.live import status_lines, watch_job
from app.cli.service_url import url_option
from app.client import Client
from app.finetune.artifact_names import FORMATS
from app.finetune.deprecations import current_value, query_messages
from app.finetune.job_kinds import (
    FINETUNING,
    KINDS,
    dry_run_of,
    kind_of,
    submitted_apart,
)
from app.finetune.json_text import read_object

PATIENCE_SECONDS = 5.0
"""Long enough for a service that restarts, and short for a person who has not started one."""


def _client(url: str) -> Client:
    return Client(url, patience_seconds=PATIENCE_SECONDS)


class _Submit(click.Command):
    """Accepts `--dry-run` and `--dry-run=VALUE`. click would take the CONFIG that follows `--dry-run` as VALUE."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for message in query_messages([("dry_run", arg.removeprefix("--dry-run=")) for arg in args]):
            click.echo(f"warning: {message}", err=True)
        return super().parse_args(ctx, [_FLAG_OF_DRY_RUN.get(arg, arg) for arg in args])


_FLAG_OF_DRY_RUN = {
    "--dry-run=true": "--dry-run",
    "--dry-run=estimate": "--estimate",
    "--dry-run=measure": "--estimate",
}


_FLAG_OF_KIND = {kind.name: f"--{kind.name.replace('_', '-')}" for kind in submitted_apart()}


def _kind_flags(function: Callable[..., None]) -> Callable[..., None]:
    """Add a flag for each kind of job that has a path of its own."""
    for name, flag in reversed(_FLAG_OF_KIND.items()):
        text = f"CONFIG describes {KINDS[name].title} (POST {KINDS[name].path})."
        function = click.option(flag, name, is_flag=True, help=text)(function)
    return function


@click.command(cls=_Submit)
@click.argument("config", type=click.File("rb"))
@click.option(
    "--dry-run",
    is_flag=True,
    help="Validate the config and print it; queue nothing. --dry-run=estimate: let a worker run some steps, and print "
    "the time, memory and disk that the job would need.",
)
@click.option("--estimate", is_flag=True, hidden=True)
@_kind_flags
@click.option("--json", "as_json", is_flag=True, help="Print the result of --dry-run=estimate as JSON.")
@click.option(
    "--priority",
    default=0,
    show_default=True,
    type=click.IntRange(-100, 100),
    help="Higher priorities run first.",
)
@click.option("--idempotency-key", help="Repeating CONFIG with the same key makes one job.")
@click.option("--watch", "watching", is_flag=True, help="Watch the job until it ends.")
@url_option
def submit(
    config: BinaryIO,
    dry_run: bool,
    estimate: bool,
    as_json: bool,
    priority: int,
    idempotency_key: str | None,
    watching: bool,
    url: str,
    **kinds: bool,
) -> None:
    """Queue the job that the JSON file CONFIG describes (`-` reads the standard input). Prints its id."""
    chosen = [kind for kind in _FLAG_OF_KIND if kinds[kind]]
    if len(chosen) > 1:
        flags = " and ".join(_FLAG_OF_KIND[kind] for kind in chosen)
        raise click.UsageError(f"{flags} exclude each other: leave one out")
    kind = chosen[0] if chosen else FINETUNING
    if (dry_run or estimate) and dry_run_of(kind) is None:
        raise click.UsageError(f"{KINDS[kind].title} has no dry run: leave --dry-run out")
    content = read_object(config.read(), config.name)
    with _client(url) as client:
        if dry_run:
            click.echo(client.dry_run(content).model_dump_json(indent=2))
            return
        if estimate:
            result = client.estimate(
                content, priority=priority, on_status=lambda reason: click.echo(f"estimating: {reason}", err=True)
            )
            click.echo(result.model_dump_json(indent=2) if as_json else "\n".join(estimate_lines(result)))
            return
        job = client.submit(content, kind=kind, priority=priority, idempotency_key=idempotency_key)
    for warning in job.warnings:
        click.echo(f"warning: {warning.message}", err=True)
    click.echo(job.id)
    if watching:
        _watch(url, job.id)


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def watch(job_id: str, url: str) -> None:
    """Show the progress and the epochs of JOB until it ends, also over pauses. Exit status 1 unless it succeeds."""
    with _client(url) as client:
        client.get(job_id)
    _watch(url, job_id)


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer of the API.")
@url_option
def status(job_id: str, as_json: bool, url: str) -> None:
    """Show the status, the predicted and the actual duration of JOB."""
    with _client(url) as client:
        job = client.get(job_id)
    click.echo(job.model_dump_json(indent=2) if as_json else "\n".join(status_lines(job)))


@click.command()
@click.option("--status", "statuses", multiple=True, type=click.Choice([status.value for status in JobStatus]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--kind", type=click.Choice([*KINDS, "measurement"]), default=FINETUNING, show_default=True)
@url_option
def jobs(statuses: tuple[str, ...], limit: int, kind: str, url: str) -> None:
    """List jobs, newest first."""
    for message in query_messages([("kind", kind)]):
        click.echo(f"warning: {message}", err=True)
    kind = current_value("kind", kind)
    with _client(url) as client:
        page = client.list(tuple(JobStatus(status) for status in statuses), kind=kind, limit=limit)
    for job in page.jobs:
        submitted = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
        line = f"{job.id}  {submitted}  {job.status:<10}  {job.progress:>4.0%}  {job.config.summary}"
        priority = f"  priority {job.priority}" if job.priority else ""
        click.echo(line + priority + (f"  {job.waiting_sentence}" if job.waiting_sentence else ""))


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--force", is_flag=True, help="Do not wait for its worker, which may be gone.")
@url_option
def cancel(job_id: str, force: bool, url: str) -> None:
    """Cancel JOB. Its best checkpoint so far is kept. Exit status 2 if JOB has succeeded or failed already."""
    with _client(url) as client:
        status = client.cancel(job_id, force=force).status
    if status in (JobStatus.SUCCEEDED, JobStatus.FAILED):
        click.echo(f"error: job {job_id} has {status} already, and was not cancelled", err=True)
        sys.exit(2)
    click.echo(status)


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def pause(job_id: str, url: str) -> None:
    """Save the training state of JOB and stop it. Prints the epoch and the step that `resume` continues from."""
    with _client(url) as client:
        job = client.pause(job_id)
    if job.status is JobStatus.PAUSING:
        click.echo(f"{job.status}: the worker is still saving the training state; `status` shows when it has")
    else:
        click.echo(f"{job.status}: {_resume_text(job)}")


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def resume(job_id: str, url: str) -> None:
    """Queue the paused JOB again."""
    with _client(url) as client:
        _echo_queued(client.resume(job_id))


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--from-start", is_flag=True, help="Discard the saved states and all checkpoints that are not pinned.")
@url_option
def retry(job_id: str, from_start: bool, url: str) -> None:
    """Queue the failed or cancelled JOB again. It resumes from its last saved state."""
    with _client(url) as client:
        _echo_queued(client.retry(job_id, from_start=from_start))


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def pin(job_id: str, url: str) -> None:
    """Keep the current best checkpoint of JOB, even if a better one follows."""
    with _client(url) as client:
        checkpoint = client.pin(job_id).checkpoint
    if checkpoint is not None:
        click.echo(f"epoch {checkpoint.epoch} is kept; `download {job_id} --epoch {checkpoint.epoch}` downloads it")


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def unpin(job_id: str, url: str) -> None:
    """Remove all pins of JOB. Only its best checkpoint is kept."""
    with _client(url) as client:
        client.unpin(job_id)
    click.echo("no checkpoint is pinned")


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: the file's own name.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    default="full",
    show_default=True,
)
@click.option("--epoch", type=click.IntRange(1), help="Epoch of stage 2, if its checkpoint is kept. Default: the best.")
@url_option
def download(job_id: str, output: Path | None, format_: str, epoch: int | None, url: str) -> None:
    """Download a file of JOB and print its path.

    `full` is edgeface_finetuned.pth or dsr.pth, `backbone` the backbone's state dict, `evaluation` the evaluation as
    JSON, `report` the same as HTML.
    """
    if epoch is not None and FORMATS[format_].part_of == "evaluation":
        raise click.UsageError(f"a job has one {format_}, not one per epoch: leave --epoch out")
    with _client(url) as client:
        if output is None:
            checkpoint = kind_of(client.get(job_id).kind).checkpoint
            output = Path(checkpoint.get(format_, FORMATS[format_].file_name))
        click.echo(client.download(job_id, output, format=format_, epoch=epoch))


def _echo_queued(job: JobView) -> None:
    click.echo(f"{job.status}: {_resume_text(job)}" if job.status is JobStatus.QUEUED else job.status)


def _resume_text(job: JobView) -> str:
    if job.resume_point is None:
        return "no training state is saved yet, so it starts from the beginning"
    point = job.resume_point
    return f"it resumes from {point_line(point.stage, point.epoch, point.step)}"


def _watch(url: str, job_id: str) -> None:
    with Client(url) as client:
        if watch_job(client, job_id, Console()).status is not JobStatus.SUCCEEDED:
            sys.exit(1)
