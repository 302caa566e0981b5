"""`edgeface-finetune keys create`, `list` and `revoke`: the API keys of the service on this machine."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from app.access.scopes import Scope

if TYPE_CHECKING:
    from app.access.tables import ApiKey
    from app.database import Database

_DAY = 86_400.0


@click.group()
def keys() -> None:
    """Make, list and revoke API keys.

    The commands change the service's database (EDGEFACE_VAR_DIR or EDGEFACE_DATABASE_URL); the service may run. Once
    there is a key, every request needs one.
    """


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([str(scope) for scope in Scope]),
    help="What the key may do; may be repeated. submit and data include read, admin includes all.  "
    "[default: submit and data]",
)
@click.option("--expires-days", type=click.FloatRange(0, min_open=True), help="Days until it expires. Default: never.")
def create(name: str, scopes: tuple[str, ...], expires_days: float | None) -> None:
    """Make a key and print it once. NAME owns what is made with it; keys of one name share what they own."""
    from app.access.keys import create_key

    granted = [Scope(scope) for scope in scopes] or [Scope.SUBMIT, Scope.DATA]
    with _database() as database, database.writing() as session:
        seconds = None if expires_days is None else expires_days * _DAY
        key, secret = create_key(session, name, granted, expires_in_seconds=seconds)
    click.echo(f"key {key.id} of {key.name} ({', '.join(key.scopes)}); it is shown only now:", err=True)
    click.echo(secret)


@keys.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_all(as_json: bool) -> None:
    """List all keys. The secrets are not stored: only their first characters are shown."""
    from humanize import naturaltime

    from app.access.keys import list_keys

    with _database() as database, database.reading() as session:
        found = list_keys(session)
    now = time.time()
    if as_json:
        click.echo(json.dumps([_as_json(key, now) for key in found], indent=2))
        return
    for key in found:
        used = "never used" if key.last_used_at is None else f"used {naturaltime(now - key.last_used_at)}"
        ends = "" if key.expires_at is None or key.state(now) != "valid" else f", expires in {_in_words(key, now)}"
        click.echo(f"{key.id}  {key.prefix}...  {key.name}  {','.join(key.scopes)}  {key.state(now)}{ends}, {used}")


@keys.command()
@click.argument("key")
def revoke(key: str) -> None:
    """Revoke KEY, by its id, its first characters as `list` shows them, or the key itself.

    From the next request on it lets nobody in."""
    from app.access.keys import revoke_key

    with _database() as database, database.writing() as session:
        revoked = revoke_key(session, key)
    click.echo(f"key {revoked.id} of {revoked.name} is revoked")


@contextmanager
def _database() -> Iterator["Database"]:
    from app.database import Database
    from app.settings import Settings

    settings = Settings()
    settings.make_directories()
    database = Database(settings.database_url)
    try:
        database.migrate()
        yield database
    finally:
        database.close()


def _as_json(key: "ApiKey", now: float) -> dict[str, object]:
    times = {
        name: None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
        for name, seconds in key.model_dump(include={"created_at", "expires_at", "last_used_at", "revoked_at"}).items()
    }
    return key.model_dump(include={"id", "name", "prefix", "scopes"}) | {"state": key.state(now)} | times


def _in_words(key: "ApiKey", now: float) -> str:
    from humanize import naturaldelta

    return naturaldelta((key.expires_at or now) - now)
