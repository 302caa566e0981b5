"""Former names of the public interface and the names that replaced them, in one place.

A former name works until REMOVED_IN. An HTTP request that uses one is answered with the headers of RFC 9745
(app/routes/former_names.py); a command prints a line; Python code gets a FormerNameWarning. Job rows and saved
files may use the former names of config fields for ever.
"""

import warnings
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

DEPRECATED_AT = datetime(2026, 11, 30, tzinfo=UTC)
"""The date of version 0.2.0, which introduced the current names."""

REMOVED_IN = "0.4.0"

RENAMED_FIELDS: Mapping[str, str] = {"invented_people": "synthetic_identities"}
"""Current name by former name of the configs' fields."""

RENAMED_QUERY_VALUES: Mapping[tuple[str, str], str] = {
    ("dry_run", "measure"): "estimate",
    ("kind", "measurement"): "dry_run",
}
"""Current value by query parameter and former value. The flags of the same names take the same values."""

RENAMED_ANSWER_FIELDS: Mapping[str, str] = {
    "measured": "estimate",
    "predicted.told_after": "predicted.predicted_after",
}
"""Current path by former path in the JSON of a job. Answers contain both."""


class FormerNameWarning(DeprecationWarning):
    """Python code uses a former name; the message has the current one."""


def message(former: str, current: str) -> str:
    return f"{former} is deprecated and works until {REMOVED_IN}: use {current}"


def field_messages(values: Collection[str]) -> list[str]:
    """Return a message for each former name among a config's fields."""
    return [message(former, current) for former, current in RENAMED_FIELDS.items() if former in values]


def query_messages(parameters: Collection[tuple[str, str]]) -> list[str]:
    """Return a message for each former value among query parameters, given as (parameter, value)."""
    return [
        message(f"{parameter}={former}", f"{parameter}={current}")
        for (parameter, former), current in RENAMED_QUERY_VALUES.items()
        if (parameter, former) in parameters
    ]


def current_value(parameter: str, value: str) -> str:
    """Return the current value of a query parameter or flag."""
    return RENAMED_QUERY_VALUES.get((parameter, value), value)


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's fields under their current names.

    Raises ValueError where a field has both names.
    """
    for former, current in RENAMED_FIELDS.items():
        if former in values and current in values:
            raise ValueError(f"{former} is the former name of {current}: give {current} alone")
    return {RENAMED_FIELDS.get(name, name): value for name, value in values.items()}


def warn_of(former: str, current: str, *, stacklevel: int = 1) -> None:
    """Issue a FormerNameWarning for the code that called the caller (`stacklevel` 1) or a caller further up."""
    warnings.warn(message(former, current), FormerNameWarning, stacklevel=stacklevel + 2)
