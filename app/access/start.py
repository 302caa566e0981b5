"""What has to hold before the service listens."""

import ipaddress
import logging

from app.access.callers import ADMIN_OWNER
from app.access.errors import KeysNeeded
from app.access.keys import create_key, has_keys, has_valid_key, keep_admin_key, read_admin_key
from app.access.scopes import Scope
from app.database import Database
from app.settings import Settings

_log = logging.getLogger(__name__)


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches the address or name."""
    name = host.lower().strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def prepare_keys(database: Database, settings: Settings, *, create_first: bool = False) -> str | None:
    """Let the key of EDGEFACE_ADMIN_KEY_FILE in. Return the first key, if one was created: print it once.

    `create_first`: create a key for an admin if there never was one. Raises KeysNeeded where the service would listen
    on a network without asking for keys, unless EDGEFACE_INSECURE is set; and AdminKeyFileInvalid.
    """
    secret = None if settings.admin_key_file is None else read_admin_key(settings.admin_key_file)
    created = None
    with database.writing() as session:
        if secret is not None:
            keep_admin_key(session, secret)
        elif create_first and not has_keys(session):
            created = create_key(session, ADMIN_OWNER, [Scope.ADMIN])[1]
        open_to_all, anybody = not has_keys(session), has_valid_key(session)
    if is_insecure(settings, open_to_all):
        if not settings.insecure:
            raise KeysNeeded(next(host for host in _reached_as(settings) if not is_loopback(host)))
        _log.warning(
            "INSECURE: everybody who reaches %s can do everything, because there is no API key and --insecure is given",
            " or ".join(_reached_as(settings)),
        )
    elif not open_to_all and not anybody:
        _log.warning(
            "every API key is revoked or expired: nobody gets in until edgeface-finetune keys create makes one"
        )
    return created


def is_insecure(settings: Settings, open_to_all: bool) -> bool:
    """Return whether others can reach a service that asks for no key: by its address, or by a proxy with a name."""
    return open_to_all and not all(map(is_loopback, _reached_as(settings)))


def _reached_as(settings: Settings) -> list[str]:
    return [settings.host, *settings.allowed_host_list]
