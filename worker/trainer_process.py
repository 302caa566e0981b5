"""The trainer process: takes an order, sends messages, writes files. It uses no database and no queue.

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
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from app.finetune.dataset_errors import FileGone
from app.finetune.errors import EdgefaceError
from app.finetune.job_config import JobConfig
from app.finetune.job_warning import JobWarning
from app.finetune.user_files import confine_to
from app.jobs.attempt_errors import DeviceFailed, MachineFailed, TrainerCrashed
from app.logs import configure_logging
from worker.job_log import send_log
from worker.lease import LeaseClock
from worker.messages import Failed, JobFiles, Order, StillPreparing, TrainerMessage
from worker.process.allocator import keep_freed_memory
from worker.training.runtime.control import Control
from worker.training.runtime.device_errors import is_device_failure

if TYPE_CHECKING:
    from torch import Tensor

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.25
_AT_WORK_SECONDS = 5.0

_sending = threading.Lock()


def train(connection: Connection, order: Order[JobConfig, JobFiles]) -> None:
    """The main function of the process: runs the order and sends its events up the pipe."""
    configure_logging(order.logs)
    send_log(partial(send, connection), order.logs.paths)
    control, report = listen_to_supervisor(connection, order), partial(send, connection)
    keep_freed_memory()
    confine_to(order.roots)
    try:
        resolve_name(order.run)(order.config, order.files, report, control)
    except EdgefaceError as error:
        send(connection, Failed(error.report()))
    except OSError as error:
        _log.exception("a file cannot be read or written")
        send(connection, _of_file(error, order.inputs))
    except Exception as error:
        if is_device_failure(error):
            _log.exception("the device failed")
            send(connection, Failed(DeviceFailed(error).report(), worth_another_try=True))
        else:
            _log.exception("the training crashed")
            send(connection, Failed(TrainerCrashed(error).report()))


def send(connection: Connection, message: TrainerMessage) -> None:
    """From any thread."""
    with _sending:
        connection.send(message)


def listen_to_supervisor(connection: Connection, order: Order[JobConfig, JobFiles]) -> Control:
    """Follow the supervisor's messages, and end the process when the supervisor is gone or has lost the job."""
    end_without_lease(order.lease)
    control = Control(
        save_every_seconds=order.save_every_seconds,
        before_write=lambda: end_without_lease(order.lease),
        release_space=lambda: _delete(order),
        gpu=order.gpu,
        at_work=_SeldomSent(connection),
        predict_duration=order.predict_duration,
        judge_faces=_judge_faces,
        shown=order.logs.paths.shown,
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


def _judge_faces(faces: "Tensor") -> list[JobWarning]:
    from worker.dataset_check.alignment import alignment_warnings  # imports torch

    return alignment_warnings(faces)


class _SeldomSent:
    """Sends StillPreparing at most every few seconds, however often it is called."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sent_at = time.monotonic()

    def __call__(self) -> None:
        if time.monotonic() - self._sent_at > _AT_WORK_SECONDS:
            self._sent_at = time.monotonic()
            send(self._connection, StillPreparing())


def _of_file(error: OSError, inputs: tuple[Path, ...]) -> Failed:
    """A missing input is the data's fault; any other file, and any other error, the machine's."""
    path = Path(str(error.filename))
    if isinstance(error, FileNotFoundError) and any(path.is_relative_to(each) for each in inputs):
        return Failed(FileGone(path).report())
    return Failed(MachineFailed(error).report(), worth_another_try=True)


def _listen(connection: Connection, lease: LeaseClock, stop: threading.Event) -> None:
    try:
        while True:
            if connection.poll(_LOOK_SECONDS):
                connection.recv()  # the only message is Stop
                stop.set()
            end_without_lease(lease)
    except (EOFError, OSError):
        os._exit(1)


def _delete(order: Order[JobConfig, JobFiles]) -> bool:
    try:
        order.reserved.unlink()
    except FileNotFoundError:
        return False
    return True
