"""Every kind of job names each of its phases from the start, and reports progress and an ETA within it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.finetune.dsr_config import DsrTrainingConfig
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.events import Phase, PhaseStarted, Progressed, StateSaved, TrainingEvent
from tests.unit.training.support import tiny_config, write_training
from worker.training.estimation.dry_run import dry_run
from worker.training.evaluation.job import run_evaluation
from worker.training.finetune import finetune
from worker.training.storage.paths import EvaluationJobFiles, ResumeFrom, TrainingFiles
from worker.training.super_resolution.train_dsr import train_dsr

Run = Callable[[TrainingFiles], list[TrainingEvent]]


def guide(files: TrainingFiles) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []
    finetune(tiny_config(), files, events.append)
    return events


def recommended(files: TrainingFiles) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []
    finetune(tiny_config(recipe="recommended", stage1_epochs=0, synthetic_identities=8), files, events.append)
    return events


def estimate(files: TrainingFiles) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []
    dry_run(tiny_config(), files, events.append)
    return events


def evaluation(files: TrainingFiles) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []
    config = EvaluationConfig(eval_dir="val", device="cpu", num_workers=0)
    run_evaluation(
        config, EvaluationJobFiles(files.val_dir, files.edgeface, output_dir=files.output_dir), events.append
    )
    return events


def dsr(files: TrainingFiles) -> list[TrainingEvent]:
    events: list[TrainingEvent] = []
    small = {"device": "cpu", "epochs": 2, "batch_size": 8, "num_workers": 0, "channels": 4, "blocks": 1}
    config = DsrTrainingConfig.model_validate(
        {"train_dir": "train", "val_dir": "val", "factors": [2], "allowed_leaks": ["*"], **small}
    )
    train_dsr(config, files, events.append)
    return events


FIRST: list[Phase] = ["checking", "preparing"]


@pytest.mark.parametrize(
    ("run", "phases"),
    [
        (guide, [*FIRST, "measuring", "comparing", "stage_1", "stage_2", "evaluating", "writing"]),
        (recommended, [*FIRST, "measuring", "comparing", "teacher_targets", "stage_2", "evaluating", "writing"]),
        (estimate, [*FIRST, "trying"]),
        (evaluation, ["checking", "evaluating", "writing"]),
        (dsr, [*FIRST, "teacher_targets", "measuring", "stage_0", "evaluating"]),
    ],
)
def test_each_phase_has_a_name_a_progress_and_an_eta(run: Run, phases: Sequence[Phase], tmp_path: Path) -> None:
    events = run(write_training(tmp_path))
    check(events, phases)


def check(events: Sequence[TrainingEvent], phases: Sequence[Phase]) -> None:
    assert isinstance(events[0], PhaseStarted), "nothing comes before the first phase"
    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == list(phases)
    reports = [event for event in events if isinstance(event, Progressed)]
    assert dict.fromkeys(report.phase for report in reports) == dict.fromkeys(phases), "each phase has progress"
    planned = next(place for place, report in enumerate(reports) if report.eta_seconds is not None)
    assert {report.phase for report in reports[:planned]} <= {"checking"}, "an ETA within the first phase"
    etas = [report.eta_seconds for report in reports[planned:]]
    assert all(eta is not None and eta >= 0 for eta in etas)
    shares = [report.progress for report in reports]
    assert shares == sorted(shares)
    assert (shares[-1], etas[-1]) == (1.0, 0.0)
    for phase in phases:
        of_phase = [report.phase_progress for report in reports if report.phase == phase]
        assert of_phase == sorted(share for share in of_phase if share is not None)


def test_a_resumed_training_names_the_phases_that_it_has_left(tmp_path: Path) -> None:
    files = write_training(tmp_path)
    saved = next(event for event in guide(files) if isinstance(event, StateSaved) and event.stage == 2)
    rest = guide(replace(files, output_dir=tmp_path / "rest", resume=ResumeFrom(saved.file.path, saved.best)))
    check(rest, [*FIRST, "stage_2", "evaluating", "writing"])
    assert all(event.progress >= saved.progress for event in rest if isinstance(event, Progressed))
