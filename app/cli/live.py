"""Shows a running job on the terminal: a line for each event, and a progress bar below them."""

import sys
from typing import Any

from rich.console import Console

from app.api_models.events import EventView, StatusEvent
from app.api_models.job import JobView
from app.api_models.job_status import JobStatus
from app.cli.connecting import connect
from app.cli.durations import actual_line, duration_text, estimate_lines, predicted_line
from app.cli.event_lines import event_line
from app.cli.gpus import reading_line, use_line
from app.cli.live_progress import LiveProgress, place_in_words
from app.cli.rates import rate_change
from app.client import Client
from app.finetune.errors import printable

WATCH_PATIENCE_SECONDS = 60.0
"""A service may restart under a command that watches for hours."""


def watch_job(client: Client, job_id: str, console: Console) -> JobView:
    """Print the job's events until it has ended. Returns the job as it ended."""
    first = client.get(job_id)
    with LiveProgress(console, first.waiting_sentence or first.status) as live:
        for event in client.events(job_id):
            if isinstance(event, EventView):
                if line := event_line(event.data):
                    live.print(line)
                if isinstance(event, StatusEvent):
                    live.update(str(event.data.status), live.share, None)
            else:
                live.update(_where(event), event["progress"], event["eta_seconds"])
    job = client.get(job_id)
    if job.gpu is not None:
        _print(console, use_line(job.gpu))
    return job


def _print(console: Console, line: str) -> None:
    console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def watch_to_the_end(url: str, job_id: str) -> None:
    """Watch the job, patiently, and print its verdict. Exits with status 1 unless it succeeds."""
    console = Console()
    with connect(url, patience_seconds=WATCH_PATIENCE_SECONDS) as client:
        job = watch_job(client, job_id, console)
    for line in _result_lines(job):
        _print(console, line)
    if job.status is not JobStatus.SUCCEEDED:
        sys.exit(1)


def status_lines(job: JobView) -> list[str]:
    """Status, predicted and actual duration, and the result of a job, in a few lines."""
    where = f"{job.id}  {job.status}  {job.progress:.0%}"
    place = None if job.terminal else place_in_words(job.phase, job.stage, job.epoch)
    if place is not None:
        where += f"  {place}"
    if job.eta_seconds is not None and not job.terminal:
        where += f"  {duration_text(job.eta_seconds)} left"
    lines = [where]
    if job.name or job.tags:
        lines.append(" ".join(filter(None, [job.name, *(f"#{tag}" for tag in job.tags)])))
    if job.waiting_sentence:
        lines.append(job.waiting_sentence)
    if job.error:
        lines += [f"error: {job.error.message} ({job.error.code})", f"  hint: {job.error.hint}"]
    if job.predicted:
        lines.append(predicted_line(job.predicted))
    if job.actual:
        lines.append(actual_line(job.predicted, job.actual))
    if job.gpu is not None:
        if job.gpu.reading is not None and not job.terminal:
            lines.append(reading_line(job.gpu.reading))
        lines.append(use_line(job.gpu))
    if job.estimate:
        lines += estimate_lines(job.estimate)
    return [*lines, *_result_lines(job)]


def _result_lines(job: JobView) -> list[str]:
    """The verdict, and the headline rate before and after."""
    if not job.recognition.verdict:
        return []
    rates = rate_change(job.recognition)
    return [job.recognition.verdict, *([rates] if rates else [])]


def _where(progress: dict[str, Any]) -> str:
    if progress["status"] not in (JobStatus.PREPARING, JobStatus.RUNNING):
        return str(progress["status"])
    # A service of version 0.2 sends no phase.
    place = place_in_words(progress.get("phase"), progress["stage"], progress["epoch"])
    return str(progress["status"]) if place is None else place
