"""`edgeface-finetune serve`: API and worker together."""

from typing import Any

import click

from app.cli.listening import listening_options
from app.cli.log_options import log_format_option


@click.command()
@listening_options
@log_format_option
def serve(create_first_key: bool, **options: Any) -> None:
    """Run API and worker together on this machine. Ctrl-C ends both."""
    from app.cli.run.serve import start_service

    start_service(options, create_first_key=create_first_key)
