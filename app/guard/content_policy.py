"""Content-Security-Policies of pages: each allows its own inline styles and scripts by their hashes."""

import base64
import hashlib
import re
from collections.abc import Iterable

PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Policy of the dashboard: files of this service alone, no inline style or script. `frame-src` is for the report."""

_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)
_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_STYLE_ATTRIBUTE = re.compile(rb"<[^<>]* style=")


def report_policy(page: bytes) -> str:
    """Return the policy of a report: its own styles, its own pictures, no script, in a sandbox.

    Reports of version 0.2 have styles in attributes, which no hash allows in all browsers: those may use inline styles.
    """
    styles = "'unsafe-inline'" if _STYLE_ATTRIBUTE.search(page) else _hashes(_STYLE.findall(page))
    return (
        f"default-src 'none'; style-src {styles}; img-src data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox"
    )


def docs_policy(page: bytes) -> str:
    """Return the policy of /docs and /redoc: scripts of this service and the page's own, by their hashes.

    Swagger UI and ReDoc write style elements while they run, which no hash can foresee.
    """
    return (
        f"default-src 'none'; script-src 'self' {_hashes(_SCRIPT.findall(page))}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    )


def _hashes(texts: Iterable[bytes]) -> str:
    digests = [base64.b64encode(hashlib.sha256(text).digest()).decode() for text in texts]
    return " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
