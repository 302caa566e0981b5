"""Configs as people write them at the terminal: files of JSON or YAML, and FIELD=VALUE."""

import json
import re
from collections.abc import Iterable
from typing import Any, BinaryIO

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from app.finetune.errors import ConfigError
from app.finetune.json_text import in_words, read_object

_YAML_NAMES = (".yaml", ".yml")
_STDIN = "<stdin>"


class _Loader(yaml.SafeLoader):
    """Reads plain YAML values as JSON does: `no`, `012` and dates are text, and `1e-4` is a number."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012 - as PyYAML declares it


for _tag, _pattern, _first in (
    ("null", r"~|null|", "~n"),
    ("bool", r"true|false", "tf"),
    ("int", r"-?(0|[1-9][0-9]*)", "-0123456789"),
    ("float", r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", "-0123456789"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), [*_first, *([""] if _tag == "null" else [])]
    )


def read_config(file: BinaryIO) -> dict[str, Any]:
    """Return the fields in a file of JSON, or of YAML if its name says so; the standard input is either.

    Raises ConfigError with line and column.
    """
    content, name = file.read(), str(getattr(file, "name", _STDIN))
    is_yaml = name.endswith(_YAML_NAMES) or (name == _STDIN and content.strip()[:1] not in (b"", b"{", b"["))
    return _read_yaml(content, name) if is_yaml else read_object(content, name)


def set_fields(fields: dict[str, Any], settings: Iterable[str], config: type[BaseModel]) -> dict[str, Any]:
    """Return the fields with those of `settings`, each `FIELD=VALUE`, in place of their own.

    A value is read as the type of the config's field, such as the text `007` for a dataset. Lists are written as JSON
    or with commas. Raises ConfigError for what is not FIELD=VALUE.
    """
    return {**fields, **dict(_read_setting(setting, config) for setting in settings)}


def swept_fields(texts: Iterable[str], config: type[BaseModel]) -> dict[str, list[Any]]:
    """Return the values of each field of `FIELD=VALUE,VALUE`. Raises ConfigError for another text, or a field twice."""
    fields: dict[str, list[Any]] = {}
    for text in texts:
        field, equals, values = (part.strip() for part in text.partition("="))
        if not (field and equals and values):
            raise ConfigError(
                f"--sweep {text} is not FIELD=VALUE,VALUE", "write it as in --sweep backbone_lr=1e-5,1e-4"
            )
        if field in fields:
            raise ConfigError(
                f"--sweep {field} is given twice", f"give all values at once: --sweep {field}=VALUE,VALUE"
            )
        fields[field] = [read_value(value.strip(), field, config) for value in values.split(",")]
    return fields


def read_value(text: str, field: str, config: type[BaseModel]) -> Any:
    """Return the value of a field. One of no fitting type is returned as it stands: the service says what is wrong."""
    parts = text.split(",")
    readings = [*_as_json(text), text, [[*_as_json(part), part][0] for part in parts], parts]
    known = config.model_fields.get(field)
    if known is None:
        return readings[0]
    adapter: TypeAdapter[Any] = TypeAdapter(known.annotation or str)
    return next((reading for reading in readings if _fits(reading, adapter)), readings[0])


def _read_setting(setting: str, config: type[BaseModel]) -> tuple[str, Any]:
    field, equals, text = setting.partition("=")
    field = field.strip()
    if not (field and equals):
        raise ConfigError(f"--set {setting} is not FIELD=VALUE", "write it as in --set backbone_lr=1e-4")
    return field, read_value(text.strip(), field, config)


def _as_json(text: str) -> list[Any]:
    def refuse(constant: str) -> None:
        raise ValueError(constant)  # NaN is no JSON: a request cannot have it

    try:
        return [json.loads(text, parse_constant=refuse)]
    except (ValueError, RecursionError):
        return []


def _fits(value: object, adapter: TypeAdapter[Any]) -> bool:
    try:
        adapter.validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


def _read_yaml(content: bytes, name: str) -> dict[str, Any]:
    hint = "correct the text there; a config in YAML has a line for each field, such as `dataset: orl16`"
    try:
        values = yaml.load(content, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = "" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}: "
        raise ConfigError(f"{name} is not YAML: {place}{error.problem or error.context}", hint) from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{name} is not YAML: {' '.join(str(error).split())}", hint) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: it must have fields with their values, not {in_words(values)}", hint)
    return {str(field): value for field, value in values.items()}
