"""`edgeface-finetune worker`: take jobs from the queue."""

import click

from app.cli.log_options import log_format_option
from app.log_format import LogFormat


@click.command()
@log_format_option
def worker(log_format: LogFormat | None) -> None:
    """Run a worker, which takes jobs from the queue and runs them. SIGTERM or Ctrl-C returns a running job to the
    queue."""
    from app.parent_process import end_with_parent
    from app.private_files import make_private_files
    from app.settings import Settings
    from worker.tasks import run_worker

    make_private_files()
    end_with_parent()
    settings = Settings()
    settings.log_format = log_format or settings.log_format
    run_worker(settings)
