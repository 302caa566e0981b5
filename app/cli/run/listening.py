"""What the commands that listen do first: the settings from the options, and the keys."""

import contextlib
import ipaddress
from typing import Any

import click

from app.access.errors import HOW_TO_SEND
from app.access.start import prepare_keys
from app.database import Database
from app.settings import Settings


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
