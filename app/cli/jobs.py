"""The commands that show the jobs of a running service, and fetch their files."""

import json
from pathlib import Path

import click

from app.api_models.job_status import JobStatus
from app.cli.connecting import connect, url_option
from app.cli.job_ids import connect_to_job
from app.finetune.artifact_names import FORMATS, WRITTEN_AT_THE_END
from app.finetune.deprecations import current_value, query_messages
from app.finetune.download_names import download_name
from app.finetune.job_kinds import ALL_KINDS, KINDS, kind_of


@click.command()
@click.argument("job_id", metavar="JOB")
@url_option
def watch(job_id: str, url: str) -> None:
    """Show the progress and the epochs of JOB until it ends, also over pauses. Exit status 1 unless it succeeds."""
    with connect_to_job(url, job_id) as (client, job_id):
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

    with connect_to_job(url, job_id) as (client, job_id):
        job = client.get(job_id)
    click.echo(job.model_dump_json(indent=2) if as_json else "\n".join(status_lines(job)))


@click.command()
@click.option("--status", "statuses", multiple=True, type=click.Choice([status.value for status in JobStatus]))
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 100))
@click.option("--kind", type=click.Choice([*KINDS, "measurement"]), help="Only this kind of jobs.  [default: all]")
@click.option("--tag", "tags", multiple=True, help="Only jobs with this tag. May be repeated.")
@click.option("--search", "text", default="", help="Only jobs with this text in name, tags, dataset or id.")
@click.option(
    "--sort",
    type=click.Choice(["newest", "best", "longest"]),
    default="newest",
    show_default=True,
    help="best: by the rate after the training.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a list with the whole answer of the API for each job.")
@url_option
def jobs(
    statuses: tuple[str, ...],
    limit: int,
    kind: str | None,
    tags: tuple[str, ...],
    text: str,
    sort: str,
    as_json: bool,
    url: str,
) -> None:
    """List jobs: status, recognition before and after, recipe, name, tags and data."""
    for message in query_messages([("kind", kind or "")]):
        click.echo(f"warning: {message}", err=True)
    wanted = ALL_KINDS if kind is None else current_value("kind", kind)
    with connect(url) as client:
        found = client.list(
            tuple(JobStatus(status) for status in statuses), kind=wanted, tags=tags, text=text, sort=sort, limit=limit
        ).jobs
    if as_json:
        click.echo(json.dumps([job.model_dump(mode="json") for job in found], indent=2))
        return
    if not found:
        click.echo("no such job; `edgeface-finetune submit` makes one", err=True)
        return
    from app.cli.job_table import job_table

    click.echo("\n".join(job_table(found)))


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Default: NAME-ID_FILE, with the name of JOB and the last six characters of its id.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(FORMATS)),
    default="full",
    show_default=True,
)
@click.option("--epoch", type=click.IntRange(1), help="Epoch of stage 2, if its checkpoint is kept. Default: the best.")
@click.option("--force", is_flag=True, help="Replace a file of this name.")
@url_option
def download(job_id: str, output: Path | None, format_: str, epoch: int | None, force: bool, url: str) -> None:
    """Download a file of JOB and print its path. A file that is there already is replaced only with --force.

    `full` is edgeface_finetuned.pth or dsr.pth, `backbone` the backbone's state dict, `evaluation` the evaluation as
    JSON, `report` the same as HTML, `onnx` the backbone for ONNX Runtime.
    """
    if epoch is not None and FORMATS[format_].part_of in WRITTEN_AT_THE_END:
        raise click.UsageError(f"a job has one {format_}, not one per epoch: leave --epoch out")
    with connect_to_job(url, job_id) as (client, job_id):
        if output is None:
            job = client.get(job_id)
            file_name = kind_of(job.kind).checkpoint.get(format_, FORMATS[format_].file_name)
            output = Path(download_name(job.id, job.name, file_name))
        if output.exists() and not force:
            raise click.UsageError(
                f"{output} exists already: choose another name by --output, or replace it by --force"
            )
        click.echo(client.download(job_id, output, format=format_, epoch=epoch))
