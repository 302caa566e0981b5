"""Predicted and actual durations of jobs: `python -m benchmarks.duration_prediction --json FILE [--check]`.

Runs the real service on the loopback address and jobs of varied size, one after the other. Each job is estimated by a
dry run (`dry_run=estimate`), then trained, and predicts its own duration after its first steps. Errors refer to the
epochs trained, without waiting: a job that stopped early is compared with `predicted.for_epochs_trained`.
"""

import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.api_models.dry_run import EstimateView
from app.api_models.durations import ActualView, PredictedView
from app.client import Client
from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from app.jobs.states import JobStatus
from app.settings import Settings
from benchmarks.api.processes import HOST, process, server
from benchmarks.support import Outcome, Table, Target, argument_parser, describe_machine, report

PACKAGES = ("torch", "timm", "pillow", "sqlalchemy")
ASSETS = Path(os.environ.get("EDGEFACE_TEST_ASSETS", Path(__file__).parents[2] / "shared"))
TOO_FAR_OFF = 0.15
"""Upper limit of the median error, exclusive."""
JOB_SECONDS = 1800.0

# Fields that users commonly change; the others have the guide's defaults.
JOBS: tuple[dict[str, Any], ...] = (
    {"dataset": "orl16", "stage1_epochs": 2, "stage2_epochs": 4},
    {"dataset": "orl12", "backbone_lr": 1e-4, "stage2_epochs": 10},
    {"dataset": "orl24", "stage1_epochs": 0, "stage2_epochs": 6, "batch_size": 16},
    {"dataset": "drawn16", "stage1_epochs": 3, "stage2_epochs": 4, "batch_size": 64},
    {"dataset": "orl16", "stage1_epochs": 5, "stage2_epochs": 5, "batch_size": 8, "val_interval": 2},
    {"dataset": "drawn16", "stage1_epochs": 1, "stage2_epochs": 3, "vlr_size": 8},
    {"dataset": "orl12", "stage2_epochs": 20, "backbone_lr": 1e-4, "early_stop_patience": 3},
)
QUICK: tuple[dict[str, Any], ...] = tuple(
    {"dataset": "small16", "stage1_epochs": 1, "stage2_epochs": epochs, "batch_size": 16} for epochs in (2, 4)
)


@dataclass(frozen=True)
class JobDurations:
    """Durations of one job: estimated by a dry run, predicted by the job, and actual."""

    config: dict[str, Any]
    estimated: EstimateView
    predicted: PredictedView
    actual: ActualView
    epochs_left_out: int

    @property
    def beforehand(self) -> float:
        """Likely seconds of the dry run, without the epochs skipped by early stopping."""
        return self.estimated.seconds.likely - self.epochs_left_out * self.estimated.stage2_epoch_seconds

    @property
    def error_beforehand(self) -> float:
        return self.actual.seconds / self.beforehand - 1

    @property
    def error(self) -> float:
        assert self.actual.off_by is not None
        return self.actual.off_by

    @property
    def in_range(self) -> bool:
        """Whether the actual duration lies in the predicted range, both for the epochs trained."""
        left_out = self.epochs_left_out * self.predicted.stage2_epoch_seconds
        return self.predicted.low - left_out <= self.actual.seconds <= self.predicted.high - left_out

    def row(self) -> list[str]:
        shown = {name: value for name, value in self.config.items() if name not in ("dataset", "edgeface")}
        return [
            self.config["dataset"],
            " ".join(f"{name}={value}" for name, value in shown.items()),
            f"{self.beforehand:.1f}",
            f"{self.error_beforehand:+.0%}",
            f"{self.predicted.for_epochs_trained:.1f} after {self.predicted.predicted_after:.1f}",
            f"{self.actual.seconds:.1f}"
            + (f", {self.epochs_left_out} epochs left out" if self.epochs_left_out else ""),
            f"{self.error:+.0%}",
            "yes" if self.in_range else "no",
        ]


def measure(folder: Path, *, quick: bool) -> Outcome:
    settings = Settings(var_dir=folder)
    settings.make_directories()
    weights = write_inputs(folder, settings, quick=quick)
    results: list[JobDurations] = []
    with (
        server("app.cli", "api", var_dir=folder, ready="/health/live") as api,
        process("app.cli", "worker", var_dir=folder),
        Client(f"http://{HOST}:{api.port}") as client,
    ):
        for job in QUICK if quick else JOBS:
            results.append(_estimate_and_train(client, job | {"edgeface": weights}, settings))
            print(" | ".join(results[-1].row()), file=sys.stderr, flush=True)  # each job takes minutes
    return outcome_of(results)


def write_inputs(folder: Path, settings: Settings, *, quick: bool) -> str:
    """Build the datasets and copy or create the weights. Return the name of the weights."""
    if quick:
        write_drawn_faces(folder / "drawn", subjects=8, images_per_subject=6, seed=42)
        build_dataset(
            folder / "drawn", settings.datasets_dir / "small16", vlr_size=16, val_fraction=0.25, test_fraction=0
        )
    else:
        faces = ASSETS / "faces" / "orl_aligned"
        if not faces.is_dir():
            sys.exit(f"no faces in {faces}: set EDGEFACE_TEST_ASSETS")
        for size in (12, 16, 24):
            build_dataset(
                faces, settings.datasets_dir / f"orl{size}", vlr_size=size, val_fraction=0.25, test_fraction=0
            )
        write_drawn_faces(folder / "drawn", subjects=60, images_per_subject=10, seed=42)
        build_dataset(
            folder / "drawn", settings.datasets_dir / "drawn16", vlr_size=16, val_fraction=0.25, test_fraction=0
        )
    given = ASSETS / "weights" / "edgeface_xxs.pt"
    if given.is_file():
        shutil.copy(given, settings.weights_dir / given.name)
        return given.name
    untrained = ["weights", "untrained", "--output", str(settings.weights_dir / "untrained.pt")]
    subprocess.run([sys.executable, "-m", "app.cli", *untrained], check=True, capture_output=True)
    return "untrained.pt"


def _estimate_and_train(client: Client, config: dict[str, Any], settings: Settings) -> JobDurations:
    for prepared in settings.prepared_dir.iterdir():
        prepared.unlink()  # each job prepares its own faces
    estimated = client.estimate(config)
    job = client.submit(config)
    give_up = time.monotonic() + JOB_SECONDS
    while not job.terminal and time.monotonic() < give_up:
        time.sleep(0.5)
        job = client.get(job.id)
    if job.status is not JobStatus.SUCCEEDED or job.predicted is None or job.actual is None or job.latest is None:
        raise RuntimeError(f"the job is {job.status}: {job.error}")
    return JobDurations(config, estimated, job.predicted, job.actual, job.predicted.stage2_epochs - job.latest.epoch)


def outcome_of(results: list[JobDurations]) -> Outcome:
    """Build the tables and the targets for the median errors."""
    errors = [abs(each.error) for each in results]
    errors_beforehand = [abs(each.error_beforehand) for each in results]
    median, beforehand = statistics.median(errors), statistics.median(errors_beforehand)
    inside = sum(each.in_range for each in results)
    columns = ["dataset", "config", "estimated s", "error", "predicted s", "actual s", "error", "in range"]
    table = Table("Predicted and actual durations", columns, [each.row() for each in results])
    summary = Table(
        "Median error",
        ["", "error", "least", "most", "n"],
        [
            ["dry_run=estimate", f"{beforehand:.1%}", *_ends(errors_beforehand)],
            ["the job's own prediction", f"{median:.1%}", *_ends(errors)],
        ],
    )
    targets = [
        Target("median error of the jobs' own predictions", median, at_most=math.nextafter(TOO_FAR_OFF, 0.0)),
        Target("median error of dry_run=estimate", beforehand, at_most=math.nextafter(TOO_FAR_OFF, 0.0)),
    ]
    figures = {
        "jobs": [
            {
                "config": each.config,
                "estimated": each.estimated.model_dump(),
                "predicted": each.predicted.model_dump(),
                "actual": each.actual.model_dump(),
                "error": each.error,
                "error_beforehand": each.error_beforehand,
                "in_range": each.in_range,
            }
            for each in results
        ],
        "median_error": median,
        "median_error_beforehand": beforehand,
        "in_range": inside,
    }
    return Outcome([table, summary], targets, figures)


def _ends(errors: list[float]) -> list[str]:
    return [f"{min(errors):.1%}", f"{max(errors):.1%}", str(len(errors))]


def main() -> int:
    arguments = argument_parser("Compares predicted and actual durations of jobs.").parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # unwinds, which ends the servers
    machine = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
        outcome = measure(Path(folder), quick=arguments.quick)
    return report("duration_prediction", machine, outcome, arguments)


if __name__ == "__main__":
    sys.exit(main())
