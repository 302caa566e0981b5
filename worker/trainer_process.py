"""The process that trains: an order in, messages out, files aside; no database, no queue.

It is forked from a warm fork server that has imported torch but never touched CUDA. This module itself imports no
torch, so that the supervisor, which names it, stays small.
"""

import logging
import os
import signal
import threading
from multiprocessing.connection import Connection

from app.finetune.errors import EdgefaceError, FileGone
from app.jobs.errors import DeviceFailed, StorageFailed, TrainerCrashed
from worker.lease import LeaseClock
from worker.messages import Failed, TrainingOrder
from worker.training.control import Control

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25


def train(connection: Connection, order: TrainingOrder) -> None:
    """The trainer's whole life: a training whose events go up the pipe."""
    import torch

    from worker.training.recipe import finetune

    control = obey(connection, order)
    try:
        finetune(order.config, order.files, connection.send, control)
    except EdgefaceError as error:
        connection.send(Failed(error.report()))
    except torch.AcceleratorError as error:
        _log.exception("the device failed")
        connection.send(Failed(DeviceFailed(error).report(), worth_another_try=True))
    except FileNotFoundError as error:
        _log.exception("a file is gone")
        connection.send(Failed(FileGone(error.filename).report()))
    except OSError as error:
        _log.exception("the storage failed")
        connection.send(Failed(StorageFailed(error).report(), worth_another_try=True))
    except Exception as error:
        _log.exception("the training crashed")
        connection.send(Failed(TrainerCrashed(error).report()))


def obey(connection: Connection, order: TrainingOrder) -> Control:
    """Do what the supervisor says, and end when it is gone or has lost the job: see `Control`."""
    control = Control(
        save_every_seconds=order.save_every_seconds,
        before_write=lambda: end_without_lease(order.lease),
        release_space=lambda: _delete(order),
        slot=order.slot,
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


def _listen(connection: Connection, lease: LeaseClock, stop: threading.Event) -> None:
    try:
        while True:
            if connection.poll(_LOOK_SECONDS):
                connection.recv()  # there is one thing to be told: Stop
                stop.set()
            end_without_lease(lease)
    except (EOFError, OSError):
        os._exit(1)


def _delete(order: TrainingOrder) -> bool:
    try:
        order.reserved.unlink()
    except FileNotFoundError:
        return False
    return True
