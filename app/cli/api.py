"""`edgeface-finetune api`: run the API alone."""

from typing import Any

import click

from app.cli.listening import listening_options
from app.cli.log_options import log_format_option


@click.command()
@listening_options
@log_format_option
def api(create_first_key: bool, **options: Any) -> None:
    """Run the API alone. Workers on this or other machines take its jobs."""
    from app.cli.run.api import start_api

    start_api(options, create_first_key=create_first_key)
