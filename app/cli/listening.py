"""The options of the commands that listen: address, keys and TLS."""

import contextlib
import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from app.access.errors import HOW_TO_SEND
from app.access.start import prepare_keys
from app.database import Database
from app.settings import Settings

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
    """Add the options. The command gets them as keywords, for `settings_of` and `open_for_callers`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def settings_of(options: dict[str, Any]) -> Settings:
    """Return the settings, with the options that are given in place of their variables."""
    return Settings(**{name: value for name, value in options.items() if value is not None})


def open_for_callers(settings: Settings, *, create_first_key: bool) -> None:
    """Prepare the keys before the service listens, and print one that was created. Raises as `prepare_keys`."""
    settings.make_directories()
    database = Database(settings.database_url)
    try:
        database.migrate()
        created = prepare_keys(database, settings, create_first=create_first_key)
    finally:
        database.close()
    if created is not None:
        click.echo(f"the first API key, of an admin; it is shown only now: {created}\n  {HOW_TO_SEND}", err=True)


def address_in_url(settings: Settings) -> str:
    """Return scheme, host and port as in a URL."""
    host = settings.host
    with contextlib.suppress(ValueError):
        host = f"[{host}]" if ipaddress.ip_address(host).version == 6 else host
    return f"{'http' if settings.tls_cert is None else 'https'}://{host}:{settings.port}"
