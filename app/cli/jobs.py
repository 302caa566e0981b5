"""The commands that show the jobs of a running service, and fetch their files."""

from pathlib import Path

import click

from app.api_models.job_status import JobStatus
from app.cli.connecting import connect, url_option
from app.cli.job_ids import find_job_id
from app.finetune.artifact_names import FORMATS
from app.finetune.deprecations import current_value, query_messages
from app.finetune.job_kinds import FINETUNING, KINDS, kind_of


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def watch(job_id: str, url: str) -> None:
    """Show the progress and the epochs of JOB until it ends, also over pauses. Exit status 1 unless it succeeds."""
    with connect(url) as client:
        job_id = find_job_id(client, job_id)
        client.get(job_id)
    from app.cli.live import watch_to_the_end

    watch_to_the_end(url, job_id)


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer of the API.")
@url_option
def status(job_id: str, as_json: bool, url: str) -> None:
    """Show the status, the predicted and the actual duration of JOB."""
    from app.cli.live import status_lines

    with connect(url) as client:
        job = client.get(find_job_id(client, job_id))
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
    with connect(url) as client:
        page = client.list(tuple(JobStatus(status) for status in statuses), kind=kind, limit=limit)
    for job in page.jobs:
        submitted = job.created_at.astimezone().strftime("%Y-%m-%d %H:%M")
        line = f"{job.id}  {submitted}  {job.status:<10}  {job.progress:>4.0%}  {job.config.summary}"
        priority = f"  priority {job.priority}" if job.priority else ""
        click.echo(line + priority + (f"  {job.waiting_sentence}" if job.waiting_sentence else ""))


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
    with connect(url) as client:
        job_id = find_job_id(client, job_id)
        if output is None:
            checkpoint = kind_of(client.get(job_id).kind).checkpoint
            output = Path(checkpoint.get(format_, FORMATS[format_].file_name))
        click.echo(client.download(job_id, output, format=format_, epoch=epoch))
