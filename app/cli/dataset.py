"""`edgeface-finetune dataset`: build a dataset from faces, check one, and the records of a service's datasets."""

import click

from app.cli.dataset_records import RECORD_COMMANDS
from app.cli.groups import LazyGroup

_COMMANDS = {
    "build": "app.cli.dataset_build:build",
    "check": "app.cli.dataset_check:check",
    "draw": "app.cli.draw:draw",
}


@click.group(cls=LazyGroup, lazy_commands={**RECORD_COMMANDS, **_COMMANDS})
def dataset() -> None:
    """Build and check datasets."""
