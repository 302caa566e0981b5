"""Shows a job on the terminal as it runs: a line an event, a progress bar below."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from app.api_models.durations import ActualView, PredictedView
from app.api_models.events import EventView
from app.api_models.job import JobView
from app.api_models.job_status import JobStatus
from app.cli.durations import actual_line, estimate_lines, predicted_line
from app.client import Client

_STAGES = {
    0: "the DSR network",
    1: "the ArcFace head, backbone frozen",
    2: "backbone and ArcFace head",
}
_ENLARGEMENTS = {"direct": "direct feed", "bicubic": "bicubic enlargement", "dsr": "this DSR"}


def watch_job(client: Client, job_id: str, console: Console) -> JobView:
    """Print the job's events until it has ended; the job as it ended."""
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
                if line := event_line(event):
                    bar.print(line, highlight=False, soft_wrap=True)
                if event.kind == "status":
                    bar.update(task, description=event.data["status"])
            else:
                bar.update(task, completed=event["progress"], description=_where(event), left=_left(event))
    return client.get(job_id)


def status_lines(job: JobView) -> list[str]:
    """Where a job is, in a few lines."""
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


def event_line(event: EventView) -> str | None:
    """One line for a person, or None for what the bar shows anyway."""
    data = event.data
    match event.kind:
        case "status":
            return _status_line(data)
        case "warning":
            return f"warning: {data['message']}"
        case "prepared" if "train_images" not in data:
            return f"evaluating on {data['device']}"
        case "prepared":
            return (
                f"prepared {data['train_images']} train and {data['val_images']} val images of {data['subjects']} "
                f"subjects in {data['seconds']:.1f} s: {data['variant']} on {data['device']}, {data['enlargement']}"
            )
        case "recognition":
            return f"{data['when']} fine-tuning: {recognition_line(data['recognition'])}"
        case "stage":
            return f"stage {data['stage']}: {_STAGES[data['stage']]}, {data['epochs']} epochs"
        case "enlargement":
            return enlargement_line(data)
        case "predicted":
            return predicted_line(PredictedView.model_validate(data))
        case "epoch":
            return epoch_line(data)
        case "checkpoint":
            return f"  best so far: epoch {data['epoch']}, score {data['score']:.4f}, checkpoint written"
        case "stopped_early":
            return f"stopped early after epoch {data['epoch']}: epoch {data['best_epoch']} stays the best"
        case "waiting":
            return f"waits for {data['reason']}"
        case "resumed":
            return resumed_line(data)
        case "batch_split":
            return (
                f"out of memory: batches of {data['batch_size']} are computed in parts of "
                f"{data['micro_batch_size']} from here on; goes on from {point_line(data)}"
            )
        case "rolled_back":
            return (
                f"the loss was not finite: goes on from {point_line(data)}, learning rates times "
                f"{data['learning_rate_scale']:g}"
            )
    return None


def resumed_line(receipt: dict[str, Any]) -> str:
    if receipt["from_attempt"] is None:
        start = "begins from the start"
    else:
        start = f"goes on from {point_line(receipt)} of attempt {receipt['from_attempt']}"
    return f"{start}; {receipt['steps_redone']} steps to do again, {receipt['seconds_lost']:.1f} s lost"


def point_line(point: dict[str, Any]) -> str:
    """Where a saved training state stands: epochs that are finished, and steps of the next."""
    return f"stage {point['stage']} epoch {point['epoch']} step {point['step']}"


def epoch_line(data: dict[str, Any]) -> str:
    parts = [
        f"  epoch {data['epoch']:>{len(str(data['epochs']))}}/{data['epochs']}",
        f"train loss {data['train_loss']:.4f}"
        + ("" if data.get("train_accuracy") is None else f" accuracy {data['train_accuracy']:.4f}"),
    ]
    if data.get("val_psnr") is not None:
        parts.append(
            f"val PSNR {data['val_psnr']:.2f} dB SSIM {data['val_ssim']:.4f} identity {data['val_identity']:.4f}"
        )
    if data.get("val_accuracy") is not None:
        parts.append(f"val loss {data['val_loss']:.4f} accuracy {data['val_accuracy']:.4f}")
    if data["val_auc"] is not None:
        parts.append(f"val AUC {data['val_auc']:.4f}")
    parts.append(f"{data['seconds']:.1f} s, {data['images_per_second']:.0f} images/s")
    return "  ".join(parts)


def enlargement_line(data: dict[str, Any]) -> str:
    quality = f"PSNR {data['psnr']:.2f} dB, SSIM {data['ssim']:.4f}, identity {data['identity']:.4f}"
    return f"{_ENLARGEMENTS[data['by']]}: {quality}, {recognition_line(data['recognition'])}"


def recognition_line(recognition: dict[str, Any]) -> str:
    names = {
        "rank1": "rank-1",
        "tar_at_far_1_percent": "TAR@FAR=1%",
        "tar_at_far_01_percent": "TAR@FAR=0.1%",
        "auc": "AUC",
    }
    return ", ".join(
        f"{name} {'-' if recognition[key] is None else format(recognition[key], '.4f')}" for key, name in names.items()
    )


def _status_line(data: dict[str, Any]) -> str:
    error = data.get("error")
    if error:
        return f"{data['status']}: {error['message']} ({error['code']})\n  hint: {error['hint']}"
    match data["status"]:
        case JobStatus.QUEUED if data.get("reason"):
            return f"queued again: {data['reason']}"
        case JobStatus.PAUSING:
            return "pausing: the training state is being saved"
        case JobStatus.PAUSED:
            return "paused: `edgeface-finetune resume JOB` goes on, `edgeface-finetune cancel JOB` ends it"
    if data.get("actual"):
        predicted, actual = PredictedView.model_validate(data["predicted"]), ActualView.model_validate(data["actual"])
        return f"{data['status']}; {actual_line(predicted, actual)}"
    return f"{data['status']}"


def _where(progress: dict[str, Any]) -> str:
    if progress["stage"] is None or progress["status"] not in (JobStatus.PREPARING, JobStatus.RUNNING):
        return str(progress["status"])
    return f"stage {progress['stage']}" + ("" if progress["epoch"] is None else f" epoch {progress['epoch']}")


def _left(progress: dict[str, Any]) -> str:
    eta = progress["eta_seconds"]
    return "" if eta is None else f"{eta:.0f} s left"
