"""A small chaos on both kinds of installation; `make chaos KILLS=200 SEED=n` runs a large one."""

import time
from pathlib import Path
from typing import get_args

import pytest

from tests.chaos.harness import logs_of
from tests.chaos.run import Kind, run_chaos

KILLS, JOBS = 25, 6


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", get_args(Kind))
def test_nothing_is_lost_whatever_is_killed(kind: Kind, tmp_path: Path) -> None:
    seed = time.time_ns() % 2**31
    verdict = run_chaos(tmp_path, kind, kills=KILLS, seed=seed, jobs=JOBS)
    assert verdict.line() == f"kills={KILLS} lost=0 doubled=0 stuck=0 corrupt=0 unequal=0", (
        f"seed {seed}: {verdict}\n{logs_of(tmp_path)}"
    )
