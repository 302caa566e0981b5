"""Small trainers for the supervisor's tests: they tell what a training tells, sleep, die, hang or lie."""

import hashlib
import logging
import os
import signal
import sys
import threading
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

from app.finetune import events
from app.finetune.config import FinetuneConfig
from app.finetune.dataset import JobWarning
from app.finetune.errors import ErrorReport
from app.finetune.evaluation_config import EvaluationConfig
from app.finetune.ranges import Estimate
from app.finetune.training_errors import DiskFull, GpuFull, GpuUnusable
from tests.support.evaluations import make_evaluation
from worker.messages import Failed, Order
from worker.trainer_process import listen_to_supervisor, train
from worker.training.runtime.control import Control
from worker.training.storage.paths import EvaluationJobFiles, TrainingFiles

TrainingOrder = Order[FinetuneConfig, TrainingFiles]
EvaluationOrder = Order[EvaluationConfig, EvaluationJobFiles]

RECOGNITION = events.Recognition(0.9, 0.8, 0.7, 0.6, 100, 1000)
PREPARED = events.Prepared(
    10, 5, 2, "verification_auc", "edgeface_xxs", "bicubic", "antialiased bicubic", "cpu", "float32", 0.1
)

DRY_RUN_FINISHED = events.DryRunFinished(
    seconds=Estimate(90.0, 100.0, 120.0),
    seconds_by_part={"start": 1.0, "prepare": 9.0, "before": 5.0, "stage1": 20.0, "stage2": 60.0, "after": 5.0},
    stage1_epochs=5,
    stage2_epochs=20,
    stage2_epoch_seconds=3.0,
    device="cpu",
    images_enlarged=192,
    process_bytes=900_000_000,
    device_bytes=None,
    prepared_bytes=18_816_000,
    state_bytes=45_899_295,
    checkpoint_bytes=10_115_260,
)


def epoch(stage: events.Stage, number: int, *, best: bool = False) -> events.EpochFinished:
    return events.EpochFinished(
        stage=stage,
        epoch=number,
        epochs=2,
        train_loss=9.5 - number,
        train_accuracy=0.1 * number,
        val_loss=None,
        val_accuracy=None,
        val_auc=0.9,
        head_lr=1e-3,
        backbone_lr=None,
        seconds=0.5,
        images_per_second=100.0,
        best=best,
    )


def write_file(path: Path, content: bytes) -> events.WrittenFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return events.WrittenFile(path, len(content), hashlib.sha256(content).hexdigest())


def checkpoint(order: TrainingOrder, number: int) -> events.Checkpoint:
    folder = order.files.output_dir / f"best-epoch-{number:03}"
    return events.Checkpoint(
        full=write_file(folder / "edgeface_finetuned.pth", b"full" * 1000 + bytes([number])),
        backbone=write_file(folder / "edgeface_backbone.pth", b"bare" * 1000 + bytes([number])),
        epoch=number,
        score=0.9,
    )


def state(
    order: TrainingOrder,
    steps_done: int,
    *,
    stage: events.Stage = 2,
    epoch: int = 0,
    step: int = 0,
    best: events.Checkpoint | None = None,
) -> events.StateSaved:
    file = write_file(order.files.output_dir / f"state-{steps_done:08}.pth", f"state {steps_done}".encode())
    return events.StateSaved(file, stage, epoch, step, steps_done, steps_done / 100, best)


def evaluation(folder: Path) -> events.EvaluationWritten:
    """Of nobody."""
    found = make_evaluation(
        warnings=[JobWarning(code="few_subjects", message="only 0 subjects")],
    )
    json = write_file(folder / "evaluation.json", found.model_dump_json().encode())
    return events.EvaluationWritten(found, json, write_file(folder / "report.html", b"<!doctype html>"))


def attempt_of(order: TrainingOrder) -> int:
    return int(order.files.output_dir.name.removeprefix("attempt-"))


def tell_all(connection: Connection, order: TrainingOrder) -> None:
    """A whole training, without the training."""
    begin(connection, order)
    connection.send(events.Warned(JobWarning(code="told_twice", message="once is enough")))
    connection.send(events.Warned(JobWarning(code="told_twice", message="once is enough")))
    connection.send(events.RecognitionMeasured("before", RECOGNITION))
    connection.send(events.StageStarted(1, 2))
    connection.send(epoch(1, 1))
    connection.send(events.Progressed(0.3, None, 1, 2, 1, 4))
    connection.send(epoch(1, 2))
    connection.send(events.StageStarted(2, 2))
    connection.send(epoch(2, 1, best=True))
    connection.send(checkpoint(order, 1))
    connection.send(events.BatchSplit(32, 16, 2, 1, 0))
    connection.send(events.RolledBack(0.1, 2, 1, 0))
    connection.send(events.Progressed(0.9, 2.0, 2, 2, 1, 10))
    connection.send(epoch(2, 2))
    evaluated = evaluation(order.files.output_dir)
    connection.send(events.Finished(RECOGNITION, RECOGNITION, "no clear difference", 1, 1.5, evaluated))


def tell_phases(connection: Connection, order: TrainingOrder) -> None:
    """A training that names two phases."""
    begin(connection, order)
    connection.send(events.PhaseStarted("checking"))
    connection.send(events.PhaseStarted("stage_1"))
    evaluated = evaluation(order.files.output_dir)
    connection.send(events.Finished(RECOGNITION, RECOGNITION, "no clear difference", 1, 1.5, evaluated))


def tell_an_evaluation(connection: Connection, order: EvaluationOrder) -> None:
    """A whole evaluation, without the evaluation."""
    assert isinstance(order.config, EvaluationConfig)
    connection.send(events.EvaluationStarted("cpu"))
    connection.send(events.Progressed(0.5, None, None, None))
    connection.send(evaluation(order.files.output_dir))


def tell_an_evaluation_and_its_weights(connection: Connection, order: EvaluationOrder) -> None:
    tell_weights(connection, order.files.edgeface)
    assert order.files.before is not None
    tell_weights(connection, order.files.before)
    tell_an_evaluation(connection, order)


def die_once_in_an_evaluation(connection: Connection, order: EvaluationOrder) -> None:
    """Half done in the first attempt; the second goes through."""
    if order.files.output_dir.name == "attempt-1":
        connection.send(events.EvaluationStarted("cpu"))
        connection.send(events.Progressed(0.5, None, None, None))
        os.kill(os.getpid(), signal.SIGKILL)
    tell_an_evaluation(connection, order)


def train_until_stopped(connection: Connection, order: TrainingOrder) -> None:
    """Writes one checkpoint and its process id, then trains for ever and leaves a stop unheard."""
    begin(connection, order)
    connection.send(events.StageStarted(2, 2))
    connection.send(epoch(2, 1, best=True))
    connection.send(checkpoint(order, 1))
    (order.files.output_dir / "pid").write_text(str(os.getpid()))
    threading.Event().wait()


def save_when_stopped(connection: Connection, order: TrainingOrder) -> None:
    """Three epochs of stage 2; asked to stop, it saves its state in the middle of the second. Goes on from there."""
    control = begin(connection, order)
    if order.files.resume is None:
        connection.send(events.StageStarted(2, 3))
        connection.send(epoch(2, 1, best=True))
        best = checkpoint(order, 1)
        connection.send(best)
        connection.send(state(order, 10, epoch=1, best=best))
        connection.send(events.Progressed(0.5, None, 2, 2, 7, 17))
        (order.files.output_dir / "pid").write_text(str(os.getpid()))
        control.stop.wait()
        connection.send(state(order, 18, epoch=1, step=8, best=best))
        connection.send(events.Stopped())
        return
    assert order.files.resume.state.read_bytes() == b"state 18"
    assert order.files.resume.best is not None
    connection.send(epoch(2, 2))
    connection.send(epoch(2, 3))
    connection.send(events.Finished(RECOGNITION, RECOGNITION, "no clear difference", 1, 1.5))


def save_when_stopped_with_its_weights(connection: Connection, order: TrainingOrder) -> None:
    """The same, and it tells which weights it starts from."""
    tell_weights(connection, order.files.edgeface)
    save_when_stopped(connection, order)


def tell_weights(connection: Connection, path: Path) -> None:
    """The key of a file that a job made; it has to be there."""
    assert path.read_bytes()
    connection.send(events.Warned(JobWarning(code="starts_from", message="/".join(path.parts[-4:]))))


def die_when_stopped(connection: Connection, order: TrainingOrder) -> None:
    control = begin(connection, order)
    (order.files.output_dir / "pid").write_text(str(os.getpid()))
    connection.send(checkpoint(order, 1))
    control.stop.wait()
    os._exit(3)


def die(connection: Connection, order: TrainingOrder) -> None:
    begin(connection, order)
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_import(_: Connection, __: TrainingOrder) -> None:
    sys.exit("no module named torch")


def die_once(connection: Connection, order: TrainingOrder) -> None:
    """Dies in the first attempt before it saved anything; the second goes through."""
    if attempt_of(order) == 1:
        connection.send(PREPARED)
        connection.send(epoch(1, 1))
        os.kill(os.getpid(), signal.SIGKILL)
    tell_all(connection, order)


def die_but_get_further(connection: Connection, order: TrainingOrder) -> None:
    """Dies five times, each time some steps further."""
    begin(connection, order)
    number = attempt_of(order)
    assert (order.files.resume is None) == (number == 1)
    if number <= 5:
        connection.send(state(order, 10 * number, epoch=0, step=10 * number))
        os.kill(os.getpid(), signal.SIGKILL)
    connection.send(events.Finished(RECOGNITION, RECOGNITION, "no clear difference", 1, 1.5))


def lie(connection: Connection, order: TrainingOrder) -> None:
    """Names a state that is not what it says; the next attempt has to go on from the one before."""
    begin(connection, order)
    if attempt_of(order) == 1:
        connection.send(epoch(2, 1))
        connection.send(state(order, 10, epoch=1))
        connection.send(epoch(2, 2))
        saved = state(order, 20, epoch=2)
        saved.file.path.write_bytes(b"something else")
        connection.send(saved)
        os.kill(os.getpid(), signal.SIGKILL)
    assert order.files.resume is not None
    assert order.files.resume.state.read_bytes() == b"state 10"
    connection.send(epoch(2, 2))
    connection.send(events.Finished(RECOGNITION, RECOGNITION, "no clear difference", 1, 1.5))


def hang_once(connection: Connection, order: TrainingOrder) -> None:
    """Makes no step in the first attempt, and is deaf."""
    begin(connection, order)
    if attempt_of(order) == 1:
        threading.Event().wait()
    tell_all(connection, order)


def find_the_disk_full_once(connection: Connection, order: TrainingOrder) -> None:
    begin(connection, order)
    if attempt_of(order) == 1:
        connection.send(Failed(DiskFull(order.files.output_dir / "state-00000001.pth").report()))
        return
    tell_all(connection, order)


def take_the_reserved_space(connection: Connection, order: TrainingOrder) -> None:
    control = begin(connection, order)
    size = order.reserved.stat().st_size
    assert control.release_space()
    assert not control.release_space()
    connection.send(events.Warned(JobWarning(code="reserved", message=str(size))))
    tell_all(connection, order)


def tell_the_gpu(connection: Connection, order: TrainingOrder) -> None:
    """The number of the GPU that it leases, then trains until it is stopped."""
    control = begin(connection, order)
    number = None if order.gpu_lease is None else order.gpu_lease.number
    assert number in (None, order.gpu, control.gpu)
    connection.send(events.Warned(JobWarning(code="gpu", message=str(number))))
    control.stop.wait()
    connection.send(events.Stopped())


def measure(connection: Connection, order: TrainingOrder) -> None:
    """A rehearsal, without the rehearsal."""
    listen_to_supervisor(connection, order)
    assert order.run.endswith(":dry_run")
    connection.send(DRY_RUN_FINISHED)


def foretell_and_die_once(connection: Connection, order: TrainingOrder) -> None:
    """Foretells where it is asked to; the second attempt is asked no more."""
    begin(connection, order)
    assert order.predict_duration == (attempt_of(order) == 1)
    if order.predict_duration:
        connection.send(events.DurationPredicted(5.0, Estimate(90.0, 100.0, 120.0), 2, 2, 20.0))
        connection.send(events.Progressed(0.1, None, 1, 1))
        os.kill(os.getpid(), signal.SIGKILL)
    connection.send(events.Finished(RECOGNITION, RECOGNITION, "no clear difference", 1, 1.5))


def fail(connection: Connection, order: TrainingOrder) -> None:
    begin(connection, order)
    connection.send(Failed(ErrorReport(code="image_unreadable", message="x.png", hint="replace it", blame="data")))


def find_no_usable_gpu(connection: Connection, order: TrainingOrder) -> None:
    begin(connection, order)
    connection.send(Failed(GpuUnusable("the driver is older than CUDA").report()))


def log_and_crash(connection: Connection, order: TrainingOrder) -> None:
    """The real trainer, of a training that logs and then raises what nobody expects."""
    train(connection, replace(order, run=f"{__name__}:log_and_raise"))


def log_and_raise(_: FinetuneConfig, files: TrainingFiles, __: events.Report, ___: Control) -> None:
    logging.getLogger("toy").info("reading %s of redis://:secret@host", files.train_dir)
    raise ValueError(f"it broke in {files.output_dir}")


def fail_by_device_errors(connection: Connection, order: TrainingOrder) -> None:
    """The real trainer; each attempt ends with another error."""
    train(connection, replace(order, run=f"{__name__}:raise_device_error"))


def raise_device_error(_: FinetuneConfig, files: TrainingFiles, __: events.Report, ___: Control) -> None:
    errors = [
        RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        GpuUnusable("the driver is older than CUDA"),
        GpuFull("other programs hold 60.0 of the 80.0 GiB of cuda:0"),
        RuntimeError("CUDA error: device-side assert triggered"),
    ]
    raise errors[int(files.output_dir.name.removeprefix("attempt-")) - 1]


def begin(connection: Connection, order: TrainingOrder) -> Control:
    control = listen_to_supervisor(connection, order)
    connection.send(events.Progressed(0.0, None, None, None))
    connection.send(PREPARED)
    return control
