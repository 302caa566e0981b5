"""JSON columns that hold a type."""

from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sqlalchemy import JSON, Dialect
from sqlalchemy.types import TypeDecorator

_Value = TypeVar("_Value")


class TypedJson(TypeDecorator[_Value], Generic[_Value]):
    """A JSON column whose values are instances of `type_`, a type that pydantic validates. NULL is None."""

    impl = JSON
    cache_ok = True

    def __init__(self, type_: type[_Value]) -> None:
        super().__init__()
        self.type_ = type_
        self._adapter = TypeAdapter(type_)

    def process_bind_param(self, value: _Value | None, dialect: Dialect) -> Any:  # noqa: ARG002 - SQLAlchemy's name
        return None if value is None else self._adapter.dump_python(value, mode="json", by_alias=True)

    def process_result_value(self, value: Any, dialect: Dialect) -> _Value | None:  # noqa: ARG002 - likewise
        return None if value is None else self._adapter.validate_python(value)
