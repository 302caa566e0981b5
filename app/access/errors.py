"""Errors of callers and keys. All errors are drawn in app/finetune/error_tree.py."""

from collections.abc import Sequence

from app.access.scopes import Scope
from app.finetune.errors import Blame, EdgefaceError, name_some

HOW_TO_SEND = "send a key as `Authorization: Bearer KEY`; the client and the commands read it from EDGEFACE_KEY"
HOW_TO_MAKE = "edgeface-finetune keys create NAME --scope SCOPE"


class AccessRefused(EdgefaceError):
    """`challenge` is the value of WWW-Authenticate, if the answer has one."""

    code = "access_refused"
    blame: Blame = "request"
    challenge: str | None = None


class KeyMissing(AccessRefused):
    code = "key_missing"
    challenge = "Bearer"

    def __init__(self) -> None:
        super().__init__("this service needs an API key", f"{HOW_TO_SEND}; an admin makes one: {HOW_TO_MAKE}")


class KeyInvalid(AccessRefused):
    code = "key_invalid"
    challenge = 'Bearer error="invalid_token"'

    def __init__(self, what: str = "the API key is unknown, expired or revoked") -> None:
        super().__init__(what, f"use another key: {HOW_TO_MAKE}; `edgeface-finetune keys list` shows the state of each")


class ScopeMissing(AccessRefused):
    code = "scope_missing"

    def __init__(self, scope: Scope, granted: Sequence[Scope]) -> None:
        has = name_some(granted) if granted else "none"
        super().__init__(
            f"this needs the scope {scope}, and the key has {has}",
            f"use a key with that scope: edgeface-finetune keys create NAME --scope {scope}",
        )
        self.challenge = f'Bearer error="insufficient_scope", scope="{scope}"'


class NotOwner(AccessRefused):
    code = "not_owner"

    def __init__(self, what: str, owner: str) -> None:
        super().__init__(f"{what} belongs to {owner}, who shares it to read", "ask its owner, or use an admin's key")


class PriorityNeedsAdmin(AccessRefused):
    code = "priority_needs_admin"

    def __init__(self, priority: int) -> None:
        super().__init__(
            f"a priority of {priority} passes everybody else's jobs, which needs the scope admin",
            "omit priority, or use 0 or less",
        )


class CsrfTokenMissing(AccessRefused):
    code = "csrf_token_missing"

    def __init__(self) -> None:
        super().__init__(
            "a change by a browser's session needs the header X-CSRF-Token with the session's token",
            "send the `csrf_token` that POST /session answered, or a key instead of the cookie",
        )


class HostRefused(AccessRefused):
    code = "host_refused"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"this service is not known as {host!r}",
            "use the address that it listens on, or add the name to EDGEFACE_ALLOWED_HOSTS and start it again",
        )


class CrossSiteRefused(AccessRefused):
    code = "cross_site_refused"

    def __init__(self, origin: str) -> None:
        super().__init__(
            f"a page of another site ({origin}) may not send this request",
            "call the service from a program, or add the site to EDGEFACE_CORS_ORIGINS and start the service again",
        )


class KeysNeeded(EdgefaceError):
    """The service would listen on a network without asking for keys."""

    code = "keys_needed"
    blame: Blame = "request"

    def __init__(self, host: str) -> None:
        super().__init__(
            f"there is no API key, and everybody who reaches {host} could do everything",
            "make one: edgeface-finetune keys create NAME --scope admin; or listen on 127.0.0.1; or start with "
            "--insecure where only people you trust reach the port",
        )


class AdminKeyFileInvalid(EdgefaceError):
    code = "admin_key_file_invalid"
    blame: Blame = "request"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"EDGEFACE_ADMIN_KEY_FILE: {reason}",
            "write one line with 40 or more characters without spaces into it: openssl rand -hex 32",
        )


class KeyNameInvalid(EdgefaceError):
    code = "key_name_invalid"
    blame: Blame = "request"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name!r} cannot be the name of a key: {reason}", "use a name such as anna or ci.nightly")


class KeyNotFound(EdgefaceError):
    code = "key_not_found"
    blame: Blame = "request"

    def __init__(self, key: str, known: Sequence[str]) -> None:
        has = f"; the keys are {name_some(known)}" if known else ""
        super().__init__(f"there is no key {key!r}{has}", "edgeface-finetune keys list shows the id of each key")
