"""The errors of `benchmarks.foretelling` without those of the machine.

`python -m benchmarks.foretelling_processor_time --json FILE [--check]`.

On a machine that others use too, a job takes as long as they let it, and what its first steps took says nothing of
that. Here the same jobs are rehearsed and trained in one process whose clock is its processor time, so that what is
left is the method's own error. On a CPU only.
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
from benchmarks.foretelling import JOBS, PACKAGES, QUICK, TOO_FAR_OFF, write_inputs
from benchmarks.support import Outcome, Table, Target, argument_parser, describe_machine, report
from worker.process.openmp import let_waiting_threads_sleep

COLUMNS = ["dataset", "config", "rehearsed s", "off", "predicted s", "actual s", "off", "rehearsal took s"]


def measure(folder: Path, *, quick: bool) -> Outcome:
    let_waiting_threads_sleep()
    settings = Settings(var_dir=folder)
    settings.make_directories()
    weights = settings.weights_dir / write_inputs(folder, settings, quick=quick)
    results = []
    with mock.patch("time.monotonic", time.process_time):
        for number, job in enumerate(QUICK if quick else JOBS):
            results.append(_rehearse_and_train(job, settings.datasets_dir, weights, folder / f"job-{number}"))
            print(results[-1], file=sys.stderr, flush=True)  # minutes go by
    return _outcome(results)


def _rehearse_and_train(job: dict[str, Any], datasets_dir: Path, weights: Path, folder: Path) -> dict[str, Any]:
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
    rehearsed = dry_run(config, files, events.append)
    rehearsal_took = time.monotonic() - started
    finished = finetune(config, files, events.append, Control())
    assert isinstance(rehearsed, DryRunFinished)
    assert isinstance(finished, Finished)
    (told,) = [event for event in events if isinstance(event, DurationPredicted)]
    left_out = config.stage2_epochs - max(e.epoch for e in events if isinstance(e, EpochFinished) and e.stage == 2)
    beforehand = rehearsed.seconds.likely - left_out * rehearsed.stage2_epoch_seconds
    predicted = told.seconds_spent + told.seconds_left.likely - left_out * told.stage2_epoch_seconds
    return {
        "config": job,
        "rehearsed": asdict(rehearsed),
        "told": asdict(told),
        "epochs_left_out": left_out,
        "seconds_rehearsed": beforehand,
        "seconds_predicted": predicted,
        "seconds": finished.seconds,
        "error_rehearsed": finished.seconds / beforehand - 1,
        "error": finished.seconds / predicted - 1,
        "rehearsal_took": rehearsal_took,
    }


def _outcome(results: list[dict[str, Any]]) -> Outcome:
    rows = [
        [
            each["config"]["dataset"],
            " ".join(f"{name}={value}" for name, value in each["config"].items() if name != "dataset"),
            f"{each['seconds_rehearsed']:.1f}",
            f"{each['error_rehearsed']:+.1%}",
            f"{each['seconds_predicted']:.1f} after {each['told']['seconds_spent']:.1f}",
            f"{each['seconds']:.1f}",
            f"{each['error']:+.1%}",
            f"{each['rehearsal_took']:.1f}",
        ]
        for each in results
    ]
    medians = {name: statistics.median(abs(each[name]) for each in results) for name in ("error", "error_rehearsed")}
    targets = [
        Target(
            "median error of what trainings say themselves, in processor time", medians["error"], at_most=TOO_FAR_OFF
        ),
        Target("median error of rehearsals, in processor time", medians["error_rehearsed"], at_most=TOO_FAR_OFF),
    ]
    table = Table("Processor seconds of jobs, said before and after", COLUMNS, rows)
    return Outcome([table], targets, {"jobs": results, **{f"median_{name}": value for name, value in medians.items()}})


def main() -> int:
    arguments = argument_parser("How far off jobs are in what they say they take, by processor time.").parse_args()
    machine = describe_machine(PACKAGES)
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
        outcome = measure(Path(folder), quick=arguments.quick)
    return report("foretelling_processor_time", machine, outcome, arguments)


if __name__ == "__main__":
    sys.exit(main())
