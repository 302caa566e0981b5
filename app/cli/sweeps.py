"""Sweeps at the terminal: their progress and their table."""

import time
from collections.abc import Iterable
from datetime import datetime

from rich.console import Console

from app.api_models.job_status import TERMINAL
from app.api_models.sweeps import Spread, SweepRow, SweepView
from app.cli.job_ids import short_id
from app.cli.live_progress import LiveProgress
from app.client import Client
from app.finetune.errors import printable

POLL_SECONDS = 2.0


def new_name() -> str:
    """Return a name for a sweep that has none."""
    return f"sweep-{datetime.now().astimezone():%Y%m%d-%H%M%S}"


def watch_sweep(client: Client, name: str, console: Console) -> SweepView:
    """Show how many jobs have ended until all have. Returns the sweep as it ended."""
    with LiveProgress(console, "queued") as live:
        while True:
            view = client.sweep(name)
            ended = sum(view.by_status.get(status, 0) for status in TERMINAL)
            live.update(_where(view), ended / view.total, None)
            if ended == view.total:
                return view
            time.sleep(POLL_SECONDS)


def sweep_table(view: SweepView) -> list[str]:
    """Return the table: a line for each setting, the best on val first, with mean and spread over its seeds."""
    header = [*view.fields, "JOBS", "VAL SCORE", "TAR@FAR=1% BEFORE", "AFTER", "IDS"]
    rows = [header, *(_row(row, view.fields) for row in view.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [printable(line) for line in [f"{view.name}: {_where(view)}", *lines]]


def _row(row: SweepRow, fields: Iterable[str]) -> list[str]:
    return [
        *(str(row.values.get(field, "")) for field in fields),
        str(len(row.jobs)),
        _spread(row.score),
        _spread(row.tar_before),
        _spread(row.tar_after),
        " ".join(short_id(job.id) for job in row.jobs),
    ]


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"{spread.mean:.4f}" + ("" if spread.sd is None else f" ± {spread.sd:.4f}")


def _where(view: SweepView) -> str:
    return ", ".join(f"{number} {status}" for status, number in view.by_status.items() if number)
