"""The option of the commands that run a process of the service."""

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from app.log_format import LogFormat

_Command = TypeVar("_Command", bound=Callable[..., Any])


def log_format_option(command: _Command) -> _Command:
    """Add `--log-format`."""
    return click.option(
        "--log-format",
        type=click.Choice(get_args(LogFormat)),
        help="Lines for people, or an object of JSON a line. Default: EDGEFACE_LOG_FORMAT, or console.",
    )(command)
