"""The errors of `benchmarks.duration_prediction` in processor time:

`python -m benchmarks.duration_prediction_processor_time --json FILE [--check]`.

On a shared machine other processes slow a job down unpredictably. Here the same jobs are estimated and trained in one
process whose clock is its processor time, which leaves the method's own error. CPU only.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest import mock

from app.finetune.config import FinetuneConfig
from app.settings import Settings
from benchmarks.duration_prediction import JOBS, PACKAGES, QUICK, TOO_FAR_OFF, write_inputs
from benchmarks.support import Outcome, Table, Target, argument_parser, describe_machine, report
from worker.process.openmp import let_waiting_threads_sleep

COLUMNS = ["dataset", "config", "dry run's s", "error", "predicted s", "actual s", "error", "dry run took s"]


def measure(folder: Path, *, quick: bool) -> Outcome:
    let_waiting_threads_sleep()
    settings = Settings(var_dir=folder)
    settings.make_directories()
    weights = settings.weights_dir / write_inputs(folder, settings, quick=quick)
    results = []
    with mock.patch("time.monotonic", time.process_time):
        for number, job in enumerate(QUICK if quick else JOBS):
            results.append(_estimate_and_train(job, settings.datasets_dir, weights, folder / f"job-{number}"))
            print(results[-1], file=sys.stderr, flush=True)  # each job takes minutes
    return _outcome(results)


def _estimate_and_train(job: dict[str, Any], datasets_dir: Path, weights: Path, folder: Path) -> dict[str, Any]:
    from app.finetune.events import DryRunFinished, DurationPredicted, EpochFinished, Finished, TrainingEvent
    from worker.training.estimation.dry_run import dry_run
    from worker.training.finetune import finetune
    from worker.training.runtime.control import Control
    from worker.training.storage.paths import TrainingFiles

    config = FinetuneConfig.model_validate(job | {"device": "cpu"})
    files = TrainingFiles(
        train_dir=datasets_dir / (config.train_dir or ""),
        val_dir=datasets_dir / (config.val_dir or ""),
        edgeface=weights,
        dsr=None,
        output_dir=folder / "output",
        prepared_dir=folder / "prepared",
    )
    events: list[TrainingEvent] = []
    started = time.monotonic()
    estimated = dry_run(config, files, events.append)
    dry_run_seconds = time.monotonic() - started
    finished = finetune(config, files, events.append, Control())
    assert isinstance(estimated, DryRunFinished)
    assert isinstance(finished, Finished)
    (own,) = [event for event in events if isinstance(event, DurationPredicted)]
    left_out = config.stage2_epochs - max(e.epoch for e in events if isinstance(e, EpochFinished) and e.stage == 2)
    beforehand = estimated.seconds.likely - left_out * estimated.stage2_epoch_seconds
    predicted = own.seconds_spent + own.seconds_left.likely - left_out * own.stage2_epoch_seconds
    return {
        "config": job,
        "estimated": asdict(estimated),
        "predicted": asdict(own),
        "epochs_left_out": left_out,
        "seconds_estimated": beforehand,
        "seconds_predicted": predicted,
        "seconds": finished.seconds,
        "error_estimated": finished.seconds / beforehand - 1,
        "error": finished.seconds / predicted - 1,
        "dry_run_seconds": dry_run_seconds,
    }


def _outcome(results: list[dict[str, Any]]) -> Outcome:
    rows = [
        [
            each["config"]["dataset"],
            " ".join(f"{name}={value}" for name, value in each["config"].items() if name != "dataset"),
            f"{each['seconds_estimated']:.1f}",
            f"{each['error_estimated']:+.1%}",
            f"{each['seconds_predicted']:.1f} after {each['predicted']['seconds_spent']:.1f}",
            f"{each['seconds']:.1f}",
            f"{each['error']:+.1%}",
            f"{each['dry_run_seconds']:.1f}",
        ]
        for each in results
    ]
    medians = {name: statistics.median(abs(each[name]) for each in results) for name in ("error", "error_estimated")}
    targets = [
        Target(
            "median error of the trainings' own predictions, in processor time", medians["error"], at_most=TOO_FAR_OFF
        ),
        Target("median error of dry runs, in processor time", medians["error_estimated"], at_most=TOO_FAR_OFF),
    ]
    table = Table("Predicted and actual processor seconds", COLUMNS, rows)
    return Outcome([table], targets, {"jobs": results, **{f"median_{name}": value for name, value in medians.items()}})


def main() -> int:
    arguments = argument_parser("Compares predicted and actual processor time of jobs.").parse_args()
    machine = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
        outcome = measure(Path(folder), quick=arguments.quick)
    return report("duration_prediction_processor_time", machine, outcome, arguments)


if __name__ == "__main__":
    sys.exit(main())
