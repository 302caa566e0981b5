"""A whole training on drawn faces: what it tells, that it repeats, and how it ends when things are wrong."""

import errno
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from app.cli.event_lines import event_line
from app.finetune.architectures import DsrLayout
from app.finetune.dataset_errors import FolderEmpty, NothingToSelectBy
from app.finetune.errors import EdgefaceError, UnreadableImages
from app.finetune.evaluation import Evaluation
from app.finetune.events import (
    Checkpoint,
    DurationPredicted,
    EpochFinished,
    Finished,
    PhaseStarted,
    Prepared,
    Progressed,
    RecognitionMeasured,
    Stopped,
    StoppedEarly,
    TrainingEvent,
    Warned,
)
from app.finetune.model_export import LEAST_COSINE
from app.finetune.training_errors import DeviceUnavailable, DiskFull, LossNotFinite
from app.finetune.weights_errors import WeightsMismatch
from worker.training.checkpoints import onnx_file
from worker.training.finetune import finetune
from worker.training.models.dsr import DSR
from worker.training.objectives.classifier import Cosines
from worker.training.runtime.control import Control
from worker.training.storage.paths import TrainingFiles

from .support import run, tiny_config, write_drawn_split, write_training


@pytest.fixture
def files(tmp_path: Path) -> TrainingFiles:
    return write_training(tmp_path)


def epochs(events: list[TrainingEvent]) -> list[EpochFinished]:
    return [event for event in events if isinstance(event, EpochFinished)]


def codes(events: list[TrainingEvent]) -> list[str]:
    return [event.warning.code for event in events if isinstance(event, Warned)]


def test_the_events_of_a_training(files: TrainingFiles) -> None:
    finished, events = run(files, stage1_epochs=2, val_interval=2, stage2_epochs=3)
    left_out = Progressed | Checkpoint | DurationPredicted
    names = [type(event).__name__ for event in events if not isinstance(event, left_out)]
    assert names == [
        *["PhaseStarted"] * 2,
        "Prepared",
        "PhaseStarted",
        "RecognitionMeasured",
        "PhaseStarted",
        *["Warned"] * 2,
        "StateSaved",
        "PhaseStarted",
        "StageStarted",
        "EpochFinished",
        "StateSaved",
        "EpochFinished",
        "StateSaved",
        "PhaseStarted",
        "StageStarted",
        *["EpochFinished", "StateSaved"] * 3,
        "PhaseStarted",
        "RecognitionMeasured",
        "PhaseStarted",
        "Warned",
        "Warned",
        "Finished",
    ]
    assert [type(event) for event in events].count(DurationPredicted) == 1  # earlier where steps take long
    assert events[-1] == finished
    assert finished.exported is not None
    assert hashlib.sha256(finished.exported.file.path.read_bytes()).hexdigest() == finished.exported.file.sha256
    assert (finished.exported.faces, finished.exported.worst_cosine > LEAST_COSINE) == (16, True)
    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == [
        "checking",
        "preparing",
        "measuring",
        "comparing",
        "stage_1",
        "stage_2",
        "evaluating",
        "writing",
    ]
    assert codes(events) == [
        "hr_not_told_apart",
        "names_not_compared",
        "val_subjects_trained_on",
        "val_chose_the_epoch",
    ]
    prepared = next(event for event in events if isinstance(event, Prepared))
    assert (prepared.train_images, prepared.val_images, prepared.subjects) == (16, 8, 4)
    assert (prepared.selection, prepared.enlargement, prepared.device) == ("val_accuracy", "bicubic", "cpu")
    assert (prepared.val_subjects, prepared.val_subjects_in_train) == (4, 4)
    assert [(e.stage, e.epoch, e.val_accuracy is None) for e in epochs(events)] == [
        (1, 1, True),
        (1, 2, False),
        (2, 1, True),
        (2, 2, False),
        (2, 3, False),
    ]
    assert [e.backbone_lr for e in epochs(events)][:3] == [None, None, 5e-6]
    assert [e.head_lr for e in epochs(events)][:3] == [1e-3, 1e-3, 5e-5]
    progress = [event.progress for event in events if isinstance(event, Progressed)]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert finished.best_epoch == [event.epoch for event in events if isinstance(event, Checkpoint)][-1]
    assert [e.best for e in epochs(events)].count(True) == sum(isinstance(e, Checkpoint) for e in events)
    lines = [event_line(event) for event in events]
    assert any(line and line.startswith("stage 1: the ArcFace head, backbone frozen, 2 epochs\n") for line in lines)
    assert any(line and line.startswith("  epoch 3/3  train loss ") for line in lines)
    assert any(line and line.startswith("  new best: epoch ") for line in lines)


def test_after_is_what_the_best_checkpoint_can_do(files: TrainingFiles) -> None:
    finished, events = run(files, backbone_lr=1e-2, stage2_epochs=3)
    best = next(e for e in epochs(events) if e.stage == 2 and e.epoch == finished.best_epoch)
    assert finished.after.auc == pytest.approx(best.val_auc)
    assert finished.after.auc != pytest.approx(finished.before.auc)


def test_a_run_repeats_exactly_and_another_seed_does_not(files: TrainingFiles) -> None:
    losses, digests = [], []
    for seed in (42, 42, 43):
        _, events = run(files, seed=seed)
        losses.append([(e.train_loss, e.val_loss, e.val_auc) for e in epochs(events)])
        digests.append([event.files[-1].sha256 for event in events if isinstance(event, Checkpoint)])
    assert losses[0] == losses[1]
    assert digests[0] == digests[1]
    assert losses[0] != losses[2]


def test_stage_1_leaves_the_backbone_alone_and_stage_2_does_not(files: TrainingFiles) -> None:
    given = torch.load(files.edgeface, weights_only=True)

    def after_training(**changes: object) -> float:
        _, events = run(files, **changes)
        written = next(event for event in events if isinstance(event, Checkpoint))
        tuned = torch.load(written.files[-1].path, weights_only=True)
        return max(float((tuned[name] - tensor).abs().max()) for name, tensor in given.items())

    assert after_training(stage2_epochs=1) > 1e-6
    assert after_training(stage1_epochs=5, head_lr=1.0, stage2_epochs=1, backbone_lr=1e-30, weight_decay=0) < 1e-20


def test_train_accuracy_is_without_the_margin(files: TrainingFiles) -> None:
    def accuracy(margin: float) -> float:
        _, events = run(files, stage1_epochs=1, head_lr=1e-30, stage2_epochs=1, arcface_margin=margin)
        return epochs(events)[0].train_accuracy

    assert accuracy(1.5) == accuracy(0.0) > 0


def test_early_stopping_counts_validations(files: TrainingFiles) -> None:
    # With rates this small nothing moves, so nothing gets better than the first validation's AUC.
    still = {"backbone_lr": 1e-30, "head_lr_stage2": 1e-30, "weight_decay": 0, "val_interval": 2}
    _, events = run(files, stage1_epochs=0, stage2_epochs=20, early_stop_patience=2, **still)
    assert StoppedEarly(epoch=6, best_epoch=2) in events
    assert len(epochs(events)) == 6
    _, events = run(files, stage1_epochs=0, stage2_epochs=7, early_stop_patience=0, **still)
    assert len(epochs(events)) == 7


def test_unknown_val_subjects_choose_by_verification(tmp_path: Path) -> None:
    _, events = run(write_training(tmp_path, val_subjects=range(8, 12)))
    assert not {"val_subjects_unknown", "val_subjects_trained_on"} & set(codes(events)), "as dataset build makes it"
    prepared = next(event for event in events if isinstance(event, Prepared))
    assert (prepared.val_subjects, prepared.val_subjects_in_train) == (4, 0)
    assert {(e.val_loss, e.val_accuracy) for e in epochs(events)} == {(None, None)}
    best = [event for event in events if isinstance(event, Checkpoint)][-1]
    assert best.score == max(e.val_auc or 0.0 for e in epochs(events) if e.stage == 2)


def test_some_unknown_val_subjects_leave_the_accuracy_of_the_known(tmp_path: Path) -> None:
    _, events = run(write_training(tmp_path, val_subjects=[0, 1, 20]), stage1_epochs=0, stage2_epochs=1)
    assert epochs(events)[0].val_accuracy in {0, 0.25, 0.5, 0.75, 1}
    prepared = next(event for event in events if isinstance(event, Prepared))
    assert prepared.selection == "verification_auc"
    assert (prepared.val_subjects, prepared.val_subjects_in_train) == (3, 2)
    assert "val_subjects_unknown" in codes(events)


def test_dsr_enlarges(files: TrainingFiles, tmp_path: Path) -> None:
    torch.manual_seed(0)
    dsr = DSR(DsrLayout(channels=4, blocks=1, factors=(7,), prelu_parameters=1))
    torch.save({"model_state_dict": dsr.state_dict()}, tmp_path / "dsr.pth")
    _, events = run(replace(files, dsr=tmp_path / "dsr.pth"), stage2_epochs=1)
    prepared = next(event for event in events if isinstance(event, Prepared))
    assert prepared.enlargement == "DSR: 4 channels, 1 residual blocks, factors 7"


def test_a_loss_that_is_not_finite_ends_the_training_without_a_checkpoint(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "worker.training.objectives.classifier.CosineClassifier.forward",
        lambda head, e_BD: Cosines(e_BD @ head.weight.T * torch.inf, e_BD, head.weight),
    )
    with pytest.raises(LossNotFinite, match="epoch 1 of stage 2"):
        run(files, stage1_epochs=0)
    assert not list(files.output_dir.glob("best-*"))


def spoil_image(files: TrainingFiles) -> None:
    image = sorted((files.val_dir / "hr_images").iterdir())[0]
    image.write_bytes(image.read_bytes()[:200])


def spoil_weights(files: TrainingFiles) -> None:
    torch.save({"stem.0.weight": torch.zeros(24, 3, 4, 4)}, files.edgeface)


def empty_train(files: TrainingFiles) -> None:
    for image in (files.train_dir / "vlr_images").iterdir():
        image.unlink()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [(spoil_image, UnreadableImages), (spoil_weights, WeightsMismatch), (empty_train, FolderEmpty)],
)
def test_what_is_wrong_is_said_before_training(
    spoil: Callable[[TrainingFiles], None], error: type[EdgefaceError], files: TrainingFiles
) -> None:
    spoil(files)
    with pytest.raises(error):
        run(files)


def test_a_val_that_nothing_can_be_chosen_by_is_refused(tmp_path: Path) -> None:
    files = write_training(tmp_path / "one", val_subjects=[])
    write_drawn_split(tmp_path / "single", range(8, 12), [0])
    with pytest.raises(NothingToSelectBy):
        run(replace(files, val_dir=tmp_path / "single"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there_is_said_first(files: TrainingFiles) -> None:
    files.edgeface.unlink()
    with pytest.raises(DeviceUnavailable, match="it has cpu"):
        run(files, device="cuda:1")


def test_importing_the_training_brings_no_service() -> None:
    script = (
        "import sys, worker.training.finetune\n"
        "print([name for name in ('celery', 'kombu', 'fastapi', 'sqlmodel', 'app.settings', 'app.jobs')"
        " if name in sys.modules])\n"
        "import torch\n"
        "assert not torch.cuda.is_initialized()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_after_the_training_val_is_evaluated_before_and_after(files: TrainingFiles) -> None:
    finished, events = run(replace(files, job="01a2"), stage1_epochs=1, stage2_epochs=2)
    written = finished.evaluated
    assert written is not None
    origin = written.evaluation.origin
    assert origin is not None
    exported = [event for event in events if isinstance(event, Checkpoint)][-1]
    assert (origin.job, origin.weights["edgeface"].sha256) == ("01a2", exported.full.sha256)
    assert origin.weights["before"].name == "edgeface_xxs.pt"
    assert (origin.config["train_dir"], origin.config["backbone_lr"]) == ("train", 5e-6)
    assert origin.changed.items() >= {"stage1_epochs": 1, "stage2_epochs": 2, "batch_size": 6}.items()
    assert not {"recipe", "train_dir", "backbone_lr"} & origin.changed.keys()
    assert "Job 01a2" in written.report.path.read_text()
    assert written.json.path == files.output_dir / "evaluation.json"
    assert Evaluation.model_validate_json(written.json.path.read_text()) == written.evaluation
    assert {each.backbone for each in written.evaluation.comparisons} == {"before", "after"}
    assert finished.verdict == written.evaluation.verdict
    measured = {event.when: event.recognition for event in events if isinstance(event, RecognitionMeasured)}
    for when in ("before", "after"):
        (row,) = (
            each
            for each in written.evaluation.comparisons
            if (each.backbone, each.probes, each.gallery) == (when, "bicubic", "hr")
        )
        assert row.verification.auc.value == pytest.approx(measured[when].auc, abs=1e-6)
    page = written.report.path.read_text()
    assert "Loss" in page
    assert page.count("<circle") >= 3, "an epoch of stage 1 and two of stage 2"


@pytest.mark.parametrize(("val_subjects", "trained_on"), [(range(4), "4 of 4"), ([0, 8, 9], "1 of 3"), ([8, 9], None)])
def test_report_and_job_say_who_the_people_of_val_are(
    val_subjects: Iterable[int], trained_on: str | None, tmp_path: Path
) -> None:
    finished, events = run(write_training(tmp_path, val_subjects=val_subjects), stage1_epochs=0, stage2_epochs=1)
    assert finished.evaluated is not None
    told = {warning.code: warning.message for warning in finished.evaluated.evaluation.warnings}
    assert ("val_subjects_trained_on" in told) == (trained_on is not None)
    if trained_on is not None:
        verb = "was" if trained_on.startswith("1 of") else "were"
        assert f"{trained_on} subjects of val {verb} trained on" in told["val_subjects_trained_on"]
    assert "selected by these val faces" in told["val_chose_the_epoch"]
    page = finished.evaluated.report.path.read_text()
    for code in {"val_subjects_trained_on", "val_chose_the_epoch"} & told.keys():
        assert told[code] in page
        assert code in codes(events)


def lose_val(files: TrainingFiles) -> None:
    shutil.rmtree(files.val_dir)


def damage_the_weights_before(files: TrainingFiles) -> None:
    files.edgeface.write_bytes(b"no weights")


def spoil_dsr(files: TrainingFiles) -> None:
    assert files.dsr is not None
    network = DSR(DsrLayout(channels=4, blocks=1, factors=(2,), prelu_parameters=1))
    torch.nn.init.constant_(network.conv_in.weight, 3e38)  # sums of it overflow
    torch.save(network.state_dict(), files.dsr)


def block_the_report(files: TrainingFiles) -> None:
    (files.output_dir / "report.html").mkdir()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lose_val, "does not exist"),
        (damage_the_weights_before, "is not a readable weights file"),
        (spoil_dsr, "returned NaN or infinity"),
        (block_the_report, "IsADirectoryError"),
    ],
)
def test_what_goes_wrong_after_the_training_costs_the_report_not_the_training(
    files: TrainingFiles, harm: Callable[[TrainingFiles], None], said: str
) -> None:
    dsr = files.output_dir.parent / "dsr.pth"
    torch.manual_seed(0)
    torch.save(DSR(DsrLayout(channels=4, blocks=1, factors=(2,), prelu_parameters=1)).state_dict(), dsr)
    files, events = replace(files, dsr=dsr), list[TrainingEvent]()

    def harm_after_training(event: TrainingEvent) -> None:
        events.append(event)
        if isinstance(event, RecognitionMeasured) and event.when == "after":
            harm(files)

    finished = finetune(tiny_config(stage2_epochs=1, dsr="dsr.pth"), files, harm_after_training)
    assert isinstance(finished, Finished)
    assert finished.evaluated is None
    assert "not_evaluated" in codes(events)
    assert "was not evaluated" in finished.verdict
    assert said in finished.verdict
    assert "\n" not in finished.verdict


def test_a_full_disk_and_a_stop_are_obeyed_in_the_last_evaluation_too(files: TrainingFiles) -> None:
    control = Control()

    def stop(event: TrainingEvent) -> None:
        if isinstance(event, RecognitionMeasured) and event.when == "after":
            control.stop.set()

    assert isinstance(finetune(tiny_config(stage2_epochs=1), files, stop, control), Stopped)

    def fill_the_disk() -> None:
        if (files.output_dir / "evaluation.json").exists():
            raise OSError(errno.ENOSPC, "full")

    files = replace(files, output_dir=files.output_dir / "another")
    with pytest.raises(DiskFull):
        finetune(tiny_config(stage2_epochs=1), files, lambda _: None, Control(before_write=fill_the_disk))


def test_a_training_whose_export_fails_succeeds_with_a_warning(
    files: TrainingFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "LEAST_COSINE", 1.1)
    finished, events = run(files, stage1_epochs=0, stage2_epochs=1)
    assert finished.exported is None
    assert "not_exported" in codes(events)
    assert not (files.output_dir / "edgeface.onnx").exists()
