"""The options of the commands that listen: address, keys and TLS."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Function = TypeVar("_Function", bound=Callable[..., Any])

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OPTIONS = (
    click.option("--host", help="Address to listen on. Default: EDGEFACE_HOST, or 127.0.0.1."),
    click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on. Default: EDGEFACE_PORT, or 8000."),
    click.option(
        "--insecure",
        is_flag=True,
        default=None,
        help="Listen on a network without API keys: everybody there may do everything.",
    ),
    click.option(
        "--create-first-key", is_flag=True, help="If there never was an API key, create one for an admin and print it."
    ),
    click.option("--tls-cert", type=_FILE, help="Certificate (PEM, with its chain) for HTTPS."),
    click.option("--tls-key", type=_FILE, help="Private key (PEM) of the certificate."),
    click.option(
        "--forwarded-allow-ips",
        help="Addresses of proxies, separated by commas, whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    ),
)


def listening_options(function: _Function) -> _Function:
    """Add the options. The command gets them as keywords, for `settings_of` of run/listening.py."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
