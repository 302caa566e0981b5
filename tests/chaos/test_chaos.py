"""Chaos on both kinds of installation: a short one in `make test-slow`, a long one in `make nightly`."""

import time
from pathlib import Path
from typing import get_args

import pytest

from tests.chaos.harness import logs_of
from tests.chaos.run import Kind, run_chaos

SHORT = pytest.param(25, 6, marks=[pytest.mark.slow, pytest.mark.timeout(900)])
LONG = pytest.param(200, 40, marks=[pytest.mark.nightly, pytest.mark.timeout(7200)])


@pytest.mark.parametrize(("kills", "jobs"), [SHORT, LONG])
@pytest.mark.parametrize("kind", get_args(Kind))
def test_nothing_is_lost_whatever_is_killed(kind: Kind, kills: int, jobs: int, tmp_path: Path) -> None:
    seed = time.time_ns() % 2**31
    verdict = run_chaos(tmp_path, kind, kills=kills, seed=seed, jobs=jobs)
    assert verdict.line() == f"kills={kills} lost=0 doubled=0 stuck=0 corrupt=0 unequal=0", (
        f"seed {seed}: {verdict}\n{logs_of(tmp_path)}"
    )
