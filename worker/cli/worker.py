"""`edgeface-finetune worker`: take jobs from the queue."""

import click

from app.parent_process import end_with_parent
from app.settings import Settings


@click.command()
def worker() -> None:
    """Run a worker: it takes jobs from the queue and trains them. SIGTERM or Ctrl-C hands a running job back."""
    from worker.tasks import run_worker

    end_with_parent()
    run_worker(Settings())
