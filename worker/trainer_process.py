"""The process that trains: an order in, messages out, files aside; no database, no queue.

It is forked from a warm fork server that has imported torch but never touched CUDA. This module itself imports no
torch, so that the supervisor, which names it, stays small.
"""

import contextlib
import logging
import os
import signal
import threading
from multiprocessing.connection import Connection

from app.finetune.errors import EdgefaceError
from app.jobs.errors import OutOfMemory, TrainerCrashed
from worker.messages import Failed, TrainingOrder

_log = logging.getLogger(__name__)


def train(connection: Connection, order: TrainingOrder) -> None:
    """The trainer's whole life: a training whose events go up the pipe."""
    import torch

    from worker.training.recipe import finetune

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the supervisor decides
    end_with_supervisor(connection)
    try:
        finetune(order.config, order.files, connection.send)
    except EdgefaceError as error:
        connection.send(Failed(error.report()))
    except torch.OutOfMemoryError:
        connection.send(Failed(OutOfMemory(order.config.batch_size).report()))
    except Exception as error:
        _log.exception("the training crashed")
        connection.send(Failed(TrainerCrashed(error).report()))


def end_with_supervisor(connection: Connection) -> None:
    """End this process when the supervisor is gone: it never sends, so a read that returns means a closed pipe."""
    threading.Thread(target=_wait_for_end, args=(connection,), name="supervisor", daemon=True).start()


def _wait_for_end(connection: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        connection.recv_bytes()
    os._exit(1)
