"""The URLs of database and broker: what is wrong with one is said without showing its password."""

import re
from urllib.parse import urlsplit

_DATABASES = ("sqlite", "sqlite+pysqlite", "postgresql+psycopg")
_BROKERS = ("redis", "rediss", "sentinel", "amqp", "amqps", "pyamqp", "filesystem", "memory")
_ENCODE = "write special characters of its password percent-encoded, such as %40 for @"

_PASSWORD = re.compile(r"(\w://[^/?#:@]*):.*@")
_QUERY = re.compile(r"([?&;][^=&;]+)=[^&;]*")


def check_database_url(url: str) -> str:
    """Return the URL with the driver that is installed. Raises ValueError."""
    for short in ("postgres://", "postgresql://"):
        # psycopg is installed; SQLAlchemy's default driver is another.
        url = re.sub(f"^{short}", "postgresql+psycopg://", url)
    scheme = _scheme(url, "postgresql://USER:PASSWORD@HOST/NAME")
    if scheme not in _DATABASES:
        raise ValueError(f"{scheme!r} is not supported; use sqlite or postgresql+psycopg")
    if not scheme.startswith("sqlite"):
        _check_parts(url)
    return url


def check_broker_url(url: str) -> str:
    """Return the URL. Raises ValueError."""
    scheme = _scheme(url, "redis://localhost:6379/0")
    if scheme.partition("+")[0] not in _BROKERS:
        raise ValueError(f"{scheme!r} is no broker that is supported; use redis")
    for each in url.split(";"):  # the first that answers
        _check_parts(each)
    return url


def without_password(url: str) -> str:
    """Return the URL with its password and the values of its query hidden."""
    return _QUERY.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", url))


def _scheme(url: str, example: str) -> str:
    scheme, separator, _ = url.partition("://")
    if not separator or not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        raise ValueError(f"it is not a URL such as {example}")
    return scheme


def _check_parts(url: str) -> None:
    """Drivers split a URL at the first @, / or : that could be meant, and name what they took for host or port."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"host and port cannot be told apart; {_ENCODE}") from None
    user = parts.netloc.rpartition("@")[0]
    if "@" in user or "@" in f"{host}{parts.path}{parts.query}{parts.fragment}":
        raise ValueError(f"it has more than one @, or one after the host; {_ENCODE}")
