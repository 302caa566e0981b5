"""The errors of the settings and of the database in words, with the exit status."""

import sys

from pydantic import ValidationError

from app.finetune.field_messages import field_message
from app.service_urls import without_password


def explain(error: Exception) -> tuple[str, int] | None:
    """Return the text and the exit status for an error of the settings or of the database, None for another."""
    if isinstance(error, ValidationError):
        return _of_settings(error), 2
    # Most commands use no database, and it takes half a second to import.
    return _of_database(error) if "sqlalchemy" in sys.modules else None


def _of_settings(error: ValidationError) -> str:
    lines = []
    for wrong in error.errors():
        name = "".join(f"EDGEFACE_{str(part).upper()}: " for part in wrong["loc"])
        lines.append(f"error: {name}{field_message(wrong, None)}")
    return "\n".join([*lines, "  hint: correct these environment variables; docs/reference.md lists them"])


def _of_database(error: Exception) -> tuple[str, int] | None:
    from sqlalchemy.exc import DBAPIError

    from app.database_errors import explain

    if not isinstance(error, DBAPIError) or (found := explain(error)) is None:
        return None
    reason = "" if found.message in str(error.orig) else f": {without_password(str(error.orig).strip())}"
    return f"error: {found.message}{reason} ({found.code})\n  hint: {found.hint}", found.exit_status or 1
