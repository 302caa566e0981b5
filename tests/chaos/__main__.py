"""`python -m tests.chaos --kills 200 --seed 1`: exit status 1 unless nothing was lost, doubled, stuck or damaged."""

import random
import sys
import tempfile
import time
from pathlib import Path
from typing import get_args

import click

from tests.chaos.harness import JOBS
from tests.chaos.run import Kind, run_chaos


@click.command()
@click.option("--kills", default=200, show_default=True, type=click.IntRange(1), help="For each kind of installation.")
@click.option("--seed", type=int, help="Default: a random one, which is printed.")
@click.option("--jobs", default=JOBS, show_default=True, type=click.IntRange(1), help="At least so many.")
@click.option("--on", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Default: all kinds.")
def main(kills: int, seed: int | None, jobs: int, kinds: tuple[Kind, ...]) -> None:
    """Kill real processes at random points while they run short real jobs."""
    seed = random.SystemRandom().randrange(2**31) if seed is None else seed
    clean = True
    for kind in kinds or get_args(Kind):
        folder = Path(tempfile.mkdtemp(prefix=f"chaos-{kind}-"))
        click.echo(f"{kind}: seed {seed}, files and logs in {folder}")
        started = time.monotonic()
        verdict = run_chaos(folder, kind, kills=kills, seed=seed, jobs=jobs)
        killed = ", ".join(f"{name} {count}" for name, count in sorted(verdict.kinds.items()))
        click.echo(f"{verdict.jobs} jobs in {time.monotonic() - started:.0f} s; killed: {killed}")
        for name in ("lost", "doubled", "stuck", "corrupt", "unequal"):
            for what in getattr(verdict, name):
                click.echo(f"  {name}: {what}")
        click.echo(verdict.line())
        clean &= verdict.clean()
    sys.exit(not clean)


if __name__ == "__main__":
    main()
