"""Seconds from POST to the first training step: `python -m benchmarks.start --json FILE [--check] [--quick]`."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from app.api_models.events import EventView, StatusEvent
from app.client import Client
from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from app.jobs.states import JobStatus
from app.settings import Settings
from benchmarks.api.processes import HOST, process, server
from benchmarks.support import Figure, Outcome, Table, Target, argument_parser, describe_machine, report

PACKAGES = ("torch", "celery", "fastapi")
WANTED_SECONDS = 1.0
PARTS = ("claimed", "prepared", "stage")
IN_WORDS = {
    "claimed": "claimed by the worker",
    "prepared": "inputs checked, faces prepared or found",
    "stage": "the first step begins",
}


def main() -> int:
    arguments = argument_parser("Seconds from POST /jobs to the first training step of a small job.").parse_args()
    machine = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
        outcome = _measure(Path(folder), 2 if arguments.quick else 7)
    return report("start", machine, outcome, arguments)


def _measure(folder: Path, repeats: int) -> Outcome:
    settings = Settings(var_dir=folder)
    settings.make_directories()
    write_drawn_faces(folder / "faces", subjects=8, images_per_subject=8, seed=42)
    build_dataset(folder / "faces", settings.datasets_dir / "drawn", vlr_size=16, val_fraction=0.25, test_fraction=0)
    weights = ["weights", "untrained", "--output", str(settings.weights_dir / "untrained.pt")]
    subprocess.run([sys.executable, "-m", "app.cli", *weights], check=True, capture_output=True)
    found: list[dict[str, float]] = []
    with (
        server("app.cli", "api", var_dir=folder, ready="/health/live") as api,
        process("app.cli", "worker", var_dir=folder),
        Client(f"http://{HOST}:{api.port}") as client,
    ):
        _job(client)  # warm-up: starts the fork server and prepares the faces
        found += [_job(client) for _ in range(repeats)]
    figures = {part: Figure(tuple(each[part] for each in found)) for part in PARTS}
    rows = [[IN_WORDS[part], figures[part].shown(2)] for part in PARTS]
    median = statistics.median(figures["stage"].values)
    return Outcome(
        [Table("Seconds after POST /jobs: 48 drawn faces of 8 people, faces prepared before", ["", "s"], rows)],
        [Target("seconds from POST to the first step", median, at_most=WANTED_SECONDS)],
        {"seconds": figures},
    )


def _job(client: Client) -> dict[str, float]:
    """Return the seconds from the request's start to each event. Events are timed from the job's row by the database's
    clock."""
    config = {"dataset": "drawn", "edgeface": "untrained.pt", "stage1_epochs": 1, "stage2_epochs": 1}
    job = client.submit(config)
    seconds: dict[str, float] = {}
    for event in client.events(job.id):
        if not isinstance(event, EventView):
            continue
        after = (event.at - job.created_at).total_seconds()
        if isinstance(event, StatusEvent) and event.data.status is JobStatus.PREPARING:
            seconds["claimed"] = after
        elif event.kind in PARTS:
            seconds.setdefault(event.kind, after)
        if isinstance(event, StatusEvent) and event.data.status is JobStatus.FAILED:
            raise RuntimeError(f"the job failed: {event.data}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
