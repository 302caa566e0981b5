"""How the commands connect to a service: the option --url and a client."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from app.client import Client

_Function = TypeVar("_Function", bound=Callable[..., Any])

PATIENCE_SECONDS = 5.0
"""Long enough for a service that restarts, and short for a person who has not started one."""


def local_url() -> str:
    """Return the URL of a service on this machine, which reads the same variables: app/settings.py."""
    scheme = "https" if os.environ.get("EDGEFACE_TLS_CERT") else "http"
    return f"{scheme}://{os.environ.get('EDGEFACE_HOST', '127.0.0.1')}:{os.environ.get('EDGEFACE_PORT', '8000')}"


def url_option(function: _Function) -> _Function:
    option = click.option(
        "--url",
        envvar="EDGEFACE_URL",
        default=local_url,
        show_default="the address of `serve` on this machine",
        help="URL of the API.",
    )
    return option(function)


def connect(url: str) -> "Client":
    """Return a client that gives up soon."""
    from app.client import Client

    return Client(url, patience_seconds=PATIENCE_SECONDS)
