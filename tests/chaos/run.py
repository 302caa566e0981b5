"""One whole run on one kind of installation."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from tests.chaos.harness import prepare_inputs, run_disturbed, run_undisturbed
from tests.chaos.services import Installation
from tests.chaos.verdict import Verdict, judge
from tests.support.servers import postgresql_database, postgresql_server

Kind = Literal["embedded", "redis-postgresql"]


def run_chaos(folder: Path, kind: Kind, *, kills: int, seed: int, jobs: int) -> Verdict:
    """Kill `kills` times over at least `jobs` jobs; what came of it. The logs stay in `folder`."""
    with _database_url(kind) as database_url:
        installation = Installation(folder, kind == "redis-postgresql", database_url, seed)
        try:
            prepare_inputs(installation)
            undisturbed, start_seconds = run_undisturbed(installation)
            submitted = run_disturbed(installation, kills, seed, jobs, start_seconds)
        finally:
            installation.end()
        return judge(installation, undisturbed, submitted)


@contextlib.contextmanager
def _database_url(kind: Kind) -> Iterator[str]:
    if kind == "embedded":
        yield ""
        return
    with postgresql_server() as server, postgresql_database(server) as url:
        yield url
