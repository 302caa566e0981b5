"""`python -m tests.chaos.process api|worker`: the real service in a process that may kill itself.

CHAOS_DIR has the tokens; CHAOS_TRANSACTION says at which writing transaction to die and CHAOS_PHASE whether at its
`begin` (just after the one before) or at its `commit` (just before it counts). Trainers draw from CHAOS_SEED at which
renaming of a file they die, and hold a lock: two of one job at once would be seen.
"""

import faulthandler
import fcntl
import itertools
import os
import random
import signal
import sys
from multiprocessing.connection import Connection
from pathlib import Path

from sqlalchemy import Connection as DatabaseConnection
from sqlalchemy import Engine, event

from app.cli.run.api import run_api
from app.settings import Settings
from tests.chaos.tokens import Tokens
from tests.trainers.fixtures import TrainingOrder
from worker.tasks import run_worker
from worker.trainer_process import train

_SHARE_OF_TRAINERS_THAT_DIE = 0.3
_RENAMINGS = 14
_COMMITS_OF_A_START = 8


def main() -> None:
    name, settings = sys.argv[1], Settings()
    faulthandler.enable()
    _say_when_it_works()
    if "CHAOS_TRANSACTION" in os.environ:
        _die_at_transaction(name, int(os.environ["CHAOS_TRANSACTION"]), os.environ["CHAOS_PHASE"])
    if name == "api":
        run_api(settings)
    else:
        run_worker(settings, train_under_chaos)


def train_under_chaos(connection: Connection, order: TrainingOrder) -> None:
    folder = Path(os.environ["CHAOS_DIR"])
    job, attempt = order.files.output_dir.parent.name, order.files.output_dir.name
    with (folder / "running" / job).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            (folder / "doubled" / f"{job}-{attempt}").touch()
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        drawn = random.Random(f"{os.environ['CHAOS_SEED']}/{order.config.seed}/{job}/{attempt}")
        if drawn.random() < _SHARE_OF_TRAINERS_THAT_DIE:
            _die_at_renaming(drawn.randint(1, _RENAMINGS))
        train(connection, order)


def _say_when_it_works() -> None:
    """After its migration, its first cleaning and its first rounds."""
    count = itertools.count(1)

    def commit(_: DatabaseConnection) -> None:
        if next(count) == _COMMITS_OF_A_START:
            (Path(os.environ["CHAOS_DIR"]) / "works" / str(os.getpid())).touch()

    event.listen(Engine, "commit", commit)


def _die_at_transaction(name: str, number: int, phase: str) -> None:
    count = itertools.count(1)

    def writing(connection: DatabaseConnection) -> None:
        if connection.get_execution_options().get("edgeface_writing") and next(count) == number:
            _die(f"{name}-at-{phase}")

    event.listen(Engine, phase, writing)


def _die_at_renaming(number: int) -> None:
    count = itertools.count(1)

    def audit(name: str, _: tuple[object, ...]) -> None:
        if name == "os.rename" and next(count) == number:
            _die("trainer-at-rename")

    sys.addaudithook(audit)


def _die(kind: str) -> None:
    if Tokens(Path(os.environ["CHAOS_DIR"])).spend(kind):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
