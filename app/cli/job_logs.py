"""`logs`: the log of a job at the terminal."""

from typing import TYPE_CHECKING

import click

from app.cli.connecting import url_option
from app.cli.job_ids import connect_to_job

if TYPE_CHECKING:
    from app.api_models.logs import LogLine


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option("--follow", "-f", is_flag=True, help="Print further lines until JOB ends, also over pauses.")
@click.option("--lines", default=200, show_default=True, type=click.IntRange(1, 2000), help="The newest lines.")
@url_option
def logs(job_id: str, follow: bool, lines: int, url: str) -> None:
    """Print the log of JOB: what its trainers logged, and how each attempt began and ended."""
    with connect_to_job(url, job_id) as (client, job_id):
        for line in client.follow_logs(job_id, lines=lines) if follow else client.logs(job_id, lines=lines).lines:
            click.echo(_text(line))


def _text(line: "LogLine") -> str:
    """As in `2026-11-30 22:29:45  attempt 2  warning  TEXT`. Further lines of the text are indented."""
    attempt = f"attempt {line.attempt}  " if line.attempt else ""
    level = "" if line.level == "info" else f"{line.level}  "
    at = line.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    first, *others = line.text.splitlines() or [""]
    return "\n".join([f"{at}  {attempt}{level}{first}", *(f"    {other}" for other in others)])
