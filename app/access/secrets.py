"""Secrets of keys and sessions: made, and kept as digests."""

import hashlib
import hmac
import secrets

KEY_MARK = "eff_"
"""How each key begins, so that people and scanners of leaked secrets know one."""

SHOWN_CHARACTERS = len(KEY_MARK) + 6
"""Characters of a key that lists show."""

LEAST_CHARACTERS = 40
"""Of a key that a person made, such as by `openssl rand -hex 32`."""


def new_key() -> str:
    """Return a key with 256 random bits."""
    return KEY_MARK + secrets.token_urlsafe(32)


def new_session() -> str:
    """Return the secret of a session, 256 random bits."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """Return the sha256, by which a secret is stored and found.

    A slow hash, such as argon2, protects passwords that can be guessed. Nobody guesses 256 random bits, and each
    request would pay for it.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def csrf_token(session: str) -> str:
    """Return the token that belongs to a session. Only who knows the session's secret can make it."""
    return hmac.digest(session.encode(), b"csrf", "sha256").hex()


def same(given: str, expected: str) -> bool:
    """Compare without telling by the time how much is equal."""
    return hmac.compare_digest(given.encode(), expected.encode())
