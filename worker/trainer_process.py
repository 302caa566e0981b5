"""The process that trains: an order in, messages out, files aside; no database, no queue.

It is forked from a warm fork server that has imported torch but never touched CUDA. This module itself imports no
torch, so that the supervisor, which names it, stays small.
"""

import logging
import os
import signal
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

from app.finetune.errors import EdgefaceError, FileGone
from app.jobs.attempt_errors import DeviceFailed, MachineFailed, TrainerCrashed
from worker.lease import LeaseClock
from worker.messages import (
    DsrTrainingOrder,
    EvaluationOrder,
    Failed,
    Order,
    StillPreparing,
    TrainerMessage,
    TrainingOrder,
)
from worker.process.allocator import keep_freed_memory
from worker.training.runtime.control import Control
from worker.training.storage.paths import EvaluationFiles, TrainingFiles

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_AT_WORK_SECONDS = 5.0

_telling = threading.Lock()


def train(connection: Connection, order: Order) -> None:
    """The trainer's whole life: a training, the rehearsal of one, an evaluation, or the training of a DSR network,
    whose events go up the pipe."""
    import torch

    from worker.training.estimation.dry_run import dry_run
    from worker.training.evaluation.job import run_evaluation
    from worker.training.finetune import finetune
    from worker.training.super_resolution.train_dsr import train_dsr

    control, report = listen_to_supervisor(connection, order), partial(tell, connection)
    keep_freed_memory()
    try:
        if isinstance(order, EvaluationOrder):
            run_evaluation(order.config, order.files, order.output_dir, report, control)
        elif isinstance(order, DsrTrainingOrder):
            train_dsr(order.config, order.files, report, control)
        else:
            (dry_run if order.dry_run else finetune)(order.config, order.files, report, control)
    except EdgefaceError as error:
        tell(connection, Failed(error.report()))
    except torch.AcceleratorError as error:
        _log.exception("the device failed")
        tell(connection, Failed(DeviceFailed(error).report(), worth_another_try=True))
    except OSError as error:
        _log.exception("a file cannot be read or written")
        tell(connection, _of_file(error, order.files))
    except Exception as error:
        _log.exception("the training crashed")
        tell(connection, Failed(TrainerCrashed(error).report()))


def tell(connection: Connection, message: TrainerMessage) -> None:
    """From any thread."""
    with _telling:
        connection.send(message)


def listen_to_supervisor(connection: Connection, order: Order) -> Control:
    """Do what the supervisor says, and end when it is gone or has lost the job: see `Control`."""
    end_without_lease(order.lease)
    control = Control(
        save_every_seconds=order.save_every_seconds,
        before_write=lambda: end_without_lease(order.lease),
        release_space=lambda: _delete(order),
        slot=order.slot,
        at_work=_SeldomTold(connection),
        predict_duration=isinstance(order, TrainingOrder) and order.predict_duration,
    )
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the supervisor decides
    # A service manager may signal every process of the service at once: this one still saves its state.
    signal.signal(signal.SIGTERM, lambda *_: control.stop.set())
    threading.Thread(
        target=_listen, args=(connection, order.lease, control.stop), name="supervisor", daemon=True
    ).start()
    return control


def end_without_lease(lease: LeaseClock) -> None:
    """End this process if its supervisor no longer holds the job: another attempt may have begun."""
    if lease.expired():
        os._exit(1)


class _SeldomTold:
    """Tells that the trainer is at work, however often it is called."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told_at = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._told_at > _AT_WORK_SECONDS:
            self._told_at = time.monotonic()
            tell(self._connection, StillPreparing())


def _of_file(error: OSError, files: TrainingFiles | EvaluationFiles) -> Failed:
    """An input that is gone is the data's fault; any other file, and any other error, the machine's."""
    if isinstance(files, EvaluationFiles):
        given = [files.eval_dir, files.edgeface, files.before, files.dsr]
    else:
        given = [files.train_dir, files.val_dir, files.edgeface, files.dsr]
    inputs = [each for each in given if each is not None]
    path = Path(str(error.filename))
    if isinstance(error, FileNotFoundError) and any(path.is_relative_to(each) for each in inputs):
        return Failed(FileGone(path).report())
    return Failed(MachineFailed(error).report(), worth_another_try=True)


def _listen(connection: Connection, lease: LeaseClock, stop: threading.Event) -> None:
    try:
        while True:
            if connection.poll(_LOOK_SECONDS):
                connection.recv()  # there is one thing to be told: Stop
                stop.set()
            end_without_lease(lease)
    except (EOFError, OSError):
        os._exit(1)


def _delete(order: Order) -> bool:
    try:
        order.reserved.unlink()
    except FileNotFoundError:
        return False
    return True
