"""Small trainers for the supervisor's tests: they tell what a training tells, sleep, die or lie."""

import hashlib
import os
import signal
import threading
from multiprocessing.connection import Connection
from pathlib import Path

from app.finetune.dataset import JobWarning
from app.finetune.errors import ErrorReport
from worker.messages import Failed, TrainingOrder
from worker.trainer_process import end_with_supervisor
from worker.training import events

RECOGNITION = events.Recognition(0.9, 0.8, 0.7, 0.6, 100, 1000)
PREPARED = events.Prepared(
    10, 5, 2, "verification_auc", "edgeface_xxs", "bicubic", "antialiased bicubic", "cpu", "float32", 0.1
)


def epoch(stage: events.Stage, number: int, *, best: bool = False) -> events.EpochFinished:
    return events.EpochFinished(
        stage, number, 2, 9.5 - number, 0.1 * number, None, None, 0.9, 1e-3, None, 0.5, 100.0, best
    )


def write_file(path: Path, content: bytes) -> events.WrittenFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return events.WrittenFile(path, len(content), hashlib.sha256(content).hexdigest())


def checkpoint(order: TrainingOrder, number: int) -> events.CheckpointWritten:
    folder = order.files.output_dir / f"best-epoch-{number:03}"
    return events.CheckpointWritten(
        full=write_file(folder / "edgeface_finetuned.pth", b"full" * 1000 + bytes([number])),
        backbone=write_file(folder / "edgeface_backbone.pth", b"bare" * 1000 + bytes([number])),
        epoch=number,
        score=0.9,
    )


def tell_all(connection: Connection, order: TrainingOrder) -> None:
    """A whole training, without the training."""
    begin(connection)
    connection.send(events.Warned(JobWarning(code="told_twice", message="once is enough")))
    connection.send(events.Warned(JobWarning(code="told_twice", message="once is enough")))
    connection.send(events.RecognitionMeasured("before", RECOGNITION))
    connection.send(events.StageStarted(1, 2))
    connection.send(epoch(1, 1))
    connection.send(events.Progressed(0.3, None, 1, 2))
    connection.send(epoch(1, 2))
    connection.send(events.StageStarted(2, 2))
    connection.send(epoch(2, 1, best=True))
    connection.send(checkpoint(order, 1))
    connection.send(events.Progressed(0.9, 2.0, 2, 2))
    connection.send(epoch(2, 2))
    connection.send(events.Finished(RECOGNITION, RECOGNITION, "no clear difference", 1, 1.5))


def train_until_stopped(connection: Connection, order: TrainingOrder) -> None:
    """Writes one checkpoint and its process id, then trains for ever."""
    end_with_supervisor(connection)
    begin(connection)
    connection.send(events.StageStarted(2, 2))
    connection.send(epoch(2, 1, best=True))
    connection.send(checkpoint(order, 1))
    (order.files.output_dir / "pid").write_text(str(os.getpid()))
    threading.Event().wait()


def ignore_sigterm(connection: Connection, order: TrainingOrder) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    train_until_stopped(connection, order)


def die(connection: Connection, _: TrainingOrder) -> None:
    begin(connection)
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(connection: Connection, order: TrainingOrder) -> None:
    """Dies in the first attempt; the second goes through."""
    if order.files.output_dir.name == "attempt-1":
        connection.send(PREPARED)
        connection.send(epoch(1, 1))
        os.kill(os.getpid(), signal.SIGKILL)
    tell_all(connection, order)


def fail(connection: Connection, _: TrainingOrder) -> None:
    begin(connection)
    connection.send(Failed(ErrorReport(code="image_unreadable", message="x.png", hint="replace it", blame="data")))


def begin(connection: Connection) -> None:
    connection.send(events.Progressed(0.0, None, None, None))
    connection.send(PREPARED)
