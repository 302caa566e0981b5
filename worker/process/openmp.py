"""Configures OpenMP, which runs PyTorch's CPU threads."""

import os

SPINS = "1000"


def let_waiting_threads_sleep() -> None:
    """Let waiting threads sleep instead of spin. Call it before torch is imported.

    By default OpenMP's threads spin long enough to starve a busy machine. Two concurrent trainings on 2 cores ran at 7
    images/s each by default and at 124 with this setting; a single training loses nothing
    (docs/decisions/0004-waiting-threads-sleep.md). The results are the same.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
