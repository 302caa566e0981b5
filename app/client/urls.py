"""The address of a service, as people write it."""

import re
from urllib.parse import urlsplit

_WITH_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def full_url(address: str) -> str:
    """Return the URL of `http://lab:8000`, `lab:8000` or `lab`, without a slash at its end. Without a scheme it is
    http, or https for port 443. Raises ValueError for what is no address of a service."""
    text = address.strip()
    if not _WITH_SCHEME.match(text):
        scheme = "https" if re.search(r":443(/|$)", text) else "http"
        text = f"{scheme}://{text.lstrip('/')}"
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", text):
        raise ValueError(f"{address!r} is no address of a service; write it as in http://lab:8000 or lab:8000")
    return text.rstrip("/")
