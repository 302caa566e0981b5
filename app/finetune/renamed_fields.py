"""Former names of config fields. Requests, job rows, saved configs and flags may still use them."""

from collections.abc import Collection, Mapping
from typing import Any

RENAMED_FIELDS: Mapping[str, str] = {"invented_people": "synthetic_identities"}
"""Current name by former name. Requests and flags may use a former name until REMOVED_IN, saved files for ever."""

REMOVED_IN = "0.4.0"


def deprecations(values: Collection[str]) -> list[str]:
    """Return a message for each former name among the fields."""
    return [
        f"{former} is deprecated and works until {REMOVED_IN}: use {current}"
        for former, current in RENAMED_FIELDS.items()
        if former in values
    ]


def with_current_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields under their current names.

    Raises ValueError where a field has both names.
    """
    for former, current in RENAMED_FIELDS.items():
        if former in values and current in values:
            raise ValueError(f"{former} is the former name of {current}: give {current} alone")
    return {RENAMED_FIELDS.get(name, name): value for name, value in values.items()}
