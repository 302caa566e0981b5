"""How long PyTorch's CPU threads spin before they sleep, while they wait for each other."""

import os

SPINS = "1000"


def let_waiting_threads_sleep() -> None:
    """Call before torch is imported. OpenMP's threads by default spin so long that they starve a busy machine.

    Two trainings at once on 2 cores ran at 7 images/s each by default and at 124 with this; one alone loses nothing
    (docs/decisions/0004-waiting-threads-sleep.md). The numbers computed are the same.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
