"""The list of jobs as a table."""

from collections.abc import Sequence

from app.api_models.job import JobView
from app.cli.rates import rate_change
from app.finetune.errors import printable

_HEADER = ("ID", "SUBMITTED", "KIND", "STATUS", "DONE", "BEFORE → AFTER", "RECIPE", "NAME", "DATA")


def job_table(jobs: Sequence[JobView]) -> list[str]:
    """Return a header, and a line for each job. A column without a value in any line is left out."""
    rows = [_HEADER, *(_row(job) for job in jobs)]
    kept = [column for column in range(len(_HEADER)) if len(rows) == 1 or any(row[column] for row in rows[1:])]
    widths = {column: max(len(row[column]) for row in rows) for column in kept}
    return [_line([row[column].ljust(widths[column]) for column in kept]) for row in rows]


def _row(job: JobView) -> tuple[str, ...]:
    notes = [job.config.summary, f"priority {job.priority}" if job.priority else "", job.waiting_sentence or ""]
    return (
        job.id,
        f"{job.created_at.astimezone():%Y-%m-%d %H:%M}",
        job.kind,
        str(job.status),
        f"{job.progress:.0%}",
        rate_change(job.recognition),
        getattr(job.config, "recipe", ""),
        " ".join(filter(None, [job.name, *(f"#{tag}" for tag in job.tags)])),
        _line([note for note in notes if note]),
    )


def _line(cells: Sequence[str]) -> str:
    return printable("  ".join(cells).rstrip())
