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
        help="Address of the API, such as http://lab:8000 or lab:8000.",
    )
    return option(function)


def connect(url: str, *, patience_seconds: float | None = None) -> "Client":
    """Return a client that gives up soon, or after `patience_seconds`. Raises click.BadParameter for a wrong URL."""
    from app.client import Client

    try:
        return Client(url, patience_seconds=PATIENCE_SECONDS if patience_seconds is None else patience_seconds)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--url") from None
