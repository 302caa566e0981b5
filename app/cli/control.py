"""The commands that change a job of a running service."""

import sys
from typing import TYPE_CHECKING

import click

from app.api_models.job_status import JobStatus
from app.cli.connecting import url_option
from app.cli.job_ids import connect_to_job

if TYPE_CHECKING:
    from app.api_models.job import JobView


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--force", is_flag=True, help="Do not wait for its worker, which may be gone.")
@url_option
def cancel(job_id: str, force: bool, url: str) -> None:
    """Cancel JOB. Its best checkpoint so far is kept. Exit status 2 if JOB has succeeded or failed already."""
    with connect_to_job(url, job_id) as (client, job_id):
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
    with connect_to_job(url, job_id) as (client, job_id):
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
    with connect_to_job(url, job_id) as (client, job_id):
        _echo_queued(client.resume(job_id))


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--from-start", is_flag=True, help="Discard the saved states and all checkpoints that are not pinned.")
@url_option
def retry(job_id: str, from_start: bool, url: str) -> None:
    """Queue the failed or cancelled JOB again. It resumes from its last saved state."""
    with connect_to_job(url, job_id) as (client, job_id):
        _echo_queued(client.retry(job_id, from_start=from_start))


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def pin(job_id: str, url: str) -> None:
    """Keep the current best checkpoint of JOB, even if a better one follows."""
    with connect_to_job(url, job_id) as (client, job_id):
        checkpoint = client.pin(job_id).checkpoint
    if checkpoint is not None:
        click.echo(f"epoch {checkpoint.epoch} is kept; `download {job_id} --epoch {checkpoint.epoch}` downloads it")


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def unpin(job_id: str, url: str) -> None:
    """Remove all pins of JOB. Only its best checkpoint is kept."""
    with connect_to_job(url, job_id) as (client, job_id):
        client.unpin(job_id)
    click.echo("no checkpoint is pinned")


@click.command()
@click.argument("job_id", metavar="JOB")
@click.argument("tags", metavar="[TAG]...", nargs=-1)
@click.option("--remove", is_flag=True, help="Remove the tags instead of adding them.")
@click.option("--name", help="New name of the job. Empty: none.")
@click.option("--notes", help="New notes about the job. Empty: none.")
@url_option
def tag(job_id: str, tags: tuple[str, ...], remove: bool, name: str | None, notes: str | None, url: str) -> None:
    """Add each TAG to JOB, or change its name or notes. Prints its name and all its tags."""
    if not tags and name is None and notes is None:
        raise click.UsageError("give a TAG, --name or --notes")
    with connect_to_job(url, job_id) as (client, job_id):
        had = client.get(job_id).tags
        wanted = [each for each in had if each not in tags] if remove else list(dict.fromkeys([*had, *tags]))
        job = client.update(job_id, name=name, notes=notes, tags=wanted if tags else None)
    click.echo(" ".join([job.name or job.id, *(f"#{each}" for each in job.tags)]))


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--force", is_flag=True, help="Delete it even if other jobs or a dataset need it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@url_option
def delete(job_id: str, force: bool, yes: bool, url: str) -> None:
    """Delete JOB, which has ended, with its files. It cannot be restored.

    If something needs JOB, nothing is deleted, and the error names it.
    """
    with connect_to_job(url, job_id) as (client, job_id):
        job = client.get(job_id)
        named = f"{job.id} {job.name}".strip()
        if not yes:
            size = f"{job.files_size / 1e6:.1f} MB"
            click.confirm(f"delete {named} ({job.status}, {len(job.files)} files, {size})?", abort=True, err=True)
        client.delete(job.id, force=force)
    click.echo(f"deleted {named}")


def _echo_queued(job: "JobView") -> None:
    click.echo(f"{job.status}: {_resume_text(job)}" if job.status is JobStatus.QUEUED else job.status)


def _resume_text(job: "JobView") -> str:
    from app.cli.event_lines import point_line

    if job.resume_point is None:
        return "no training state is saved yet, so it starts from the beginning"
    point = job.resume_point
    return f"it resumes from {point_line(point.stage, point.epoch, point.step)}"
