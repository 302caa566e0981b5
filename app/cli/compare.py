"""`edgeface-finetune compare`: several jobs side by side."""

import csv
import sys

import click

from app.cli.connecting import connect, url_option
from app.cli.job_ids import find_job_id


@click.command()
@click.argument("job_ids", metavar="JOB JOB...", nargs=-1, required=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, with a line for each job.")
@url_option
def compare(job_ids: tuple[str, ...], as_csv: bool, url: str) -> None:
    """Compare jobs: the best epoch of each, recognition with 95 % intervals, and the fields of the configs that differ.

    `*` marks the best value of a line.
    """
    from app.cli.comparison import compare_jobs, comparison_lines

    with connect(url) as client:
        wanted = dict.fromkeys(find_job_id(client, given) for given in job_ids)
        if len(wanted) < 2:
            raise click.UsageError("give two different jobs or more")
        quantities, columns = compare_jobs(client, list(wanted))
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(["id", *(quantity.name for quantity in quantities)])
        for number, job_id in enumerate(wanted):
            writer.writerow([job_id, *(quantity.plain[number] for quantity in quantities)])
        return
    for line in comparison_lines(quantities, columns):
        click.echo(line)
