"""Shows a running job on the terminal: a line for each event, and a progress bar below them."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from app.api_models.events import EventView, StatusEvent
from app.api_models.job import JobView
from app.api_models.job_status import JobStatus
from app.cli.durations import actual_line, estimate_lines, predicted_line
from app.cli.event_lines import event_line
from app.client import Client


def watch_job(client: Client, job_id: str, console: Console) -> JobView:
    """Print the job's events until it has ended. Returns the job as it ended."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    first = client.get(job_id)
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(first.waiting_for or first.status, total=1.0, left="")
        for event in client.events(job_id):
            if isinstance(event, EventView):
                if line := event_line(event.data):
                    bar.print(line, highlight=False, soft_wrap=True)
                if isinstance(event, StatusEvent):
                    bar.update(task, description=str(event.data.status))
            else:
                bar.update(task, completed=event["progress"], description=_where(event), left=_left(event))
    return client.get(job_id)


def status_lines(job: JobView) -> list[str]:
    """Status, predicted and actual duration, and the result of a job, in a few lines."""
    where = f"{job.id}  {job.status}  {job.progress:.0%}"
    if job.stage is not None and not job.terminal:
        where += f"  stage {job.stage}" + ("" if job.epoch is None else f" epoch {job.epoch}")
    lines = [where]
    if job.waiting_for:
        lines.append(f"waits for {job.waiting_for}")
    if job.error:
        lines += [f"error: {job.error.message} ({job.error.code})", f"  hint: {job.error.hint}"]
    if job.predicted:
        lines.append(predicted_line(job.predicted))
    if job.actual:
        lines.append(actual_line(job.predicted, job.actual))
    if job.estimate:
        lines += estimate_lines(job.estimate)
    if job.recognition.verdict:
        lines.append(job.recognition.verdict)
    return lines


def _where(progress: dict[str, Any]) -> str:
    if progress["stage"] is None or progress["status"] not in (JobStatus.PREPARING, JobStatus.RUNNING):
        return str(progress["status"])
    return f"stage {progress['stage']}" + ("" if progress["epoch"] is None else f" epoch {progress['epoch']}")


def _left(progress: dict[str, Any]) -> str:
    eta = progress["eta_seconds"]
    return "" if eta is None else f"{eta:.0f} s left"
