"""`edgeface-finetune worker`: take jobs from the queue."""

import click

from app.parent_process import end_with_parent
from app.settings import Settings


@click.command()
def worker() -> None:
    """Run a worker, which takes jobs from the queue and runs them. SIGTERM or Ctrl-C returns a running job to the
    queue."""
    from worker.tasks import run_worker

    end_with_parent()
    run_worker(Settings())
