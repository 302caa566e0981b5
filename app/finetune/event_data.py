"""The base of everything that an event can carry, and its JSON."""

import warnings
from typing import Any

from pydantic import TypeAdapter

from app.finetune.deprecations import FormerNameWarning, message

_ADAPTERS: dict[type, TypeAdapter[Any]] = {}
"""By type of data: it takes a while to build one."""


class EventData:
    """Typed data of an event. Until 0.4.0 it can also be read like the dict that it was in 0.1."""

    def __getitem__(self, name: str) -> Any:
        """The field's value as JSON. Raises KeyError."""
        warnings.warn(message(f'data["{name}"]', f"data.{name}"), FormerNameWarning, stacklevel=2)
        return as_json(self)[name]

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value as JSON, or `default`."""
        warnings.warn(message(f'data.get("{name}")', f"data.{name}"), FormerNameWarning, stacklevel=2)
        return as_json(self).get(name, default)


def as_json(data: Any) -> dict[str, Any]:
    """The dict that a row keeps of a pydantic model or a dataclass. It has only the fields of a model that were set."""
    type_ = type(data)
    adapter = _ADAPTERS.get(type_)
    if adapter is None:
        adapter = _ADAPTERS[type_] = TypeAdapter(type_)
    content: dict[str, Any] = adapter.dump_python(data, mode="json", by_alias=True, exclude_unset=True)
    return content
