"""Problems of a config's fields in plain words: the same for the API and for the commands."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel

from app.finetune.config import DEVICE_PATTERN, NAME_PATTERN
from app.finetune.counted import counted
from app.finetune.field_names import LONGEST_NAME, suggest_field
from app.finetune.json_text import in_words

FieldMessage = tuple[str, str]
"""Path of the field, such as `vlr_sizes.0`, and what is wrong with it."""

PATTERNS: Mapping[str, str] = {
    DEVICE_PATTERN: "must be auto, cpu, cuda or cuda:N with the number of a GPU, as in cuda:0",
    NAME_PATTERN: "must not contain a line break, a tab or another control character",
}
"""What each regular expression of the configs asks for."""

_Context = Mapping[str, Any]

_RULES: Mapping[str, Callable[[_Context], str]] = {
    "greater_than": lambda limit: f"must be above {limit['gt']:g}",
    "greater_than_equal": lambda limit: f"must be at least {_number(limit['ge'])}",
    "less_than": lambda limit: f"must be below {limit['lt']:g}",
    "less_than_equal": lambda limit: f"must be at most {_number(limit['le'])}",
    "finite_number": lambda _: "must be a finite number",
    "string_pattern_mismatch": lambda limit: PATTERNS.get(limit["pattern"], f"must match {limit['pattern']}"),
    "string_too_long": lambda limit: f"must have at most {limit['max_length']} characters",
    "literal_error": lambda limit: f"must be {limit['expected'].replace(chr(39), '')}",
    "enum": lambda limit: f"must be {limit['expected'].replace(chr(39), '')}",
    **dict.fromkeys(
        ("int_type", "int_parsing", "int_from_float", "int_parsing_size"), lambda _: "must be a whole number"
    ),
    **dict.fromkeys(("float_type", "float_parsing"), lambda _: "must be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), lambda _: "must be true or false"),
    "string_type": lambda _: "must be text in double quotes",
    "string_unicode": lambda _: "must be a name in UTF-8: rename the file or the folder",
    **dict.fromkeys(("tuple_type", "list_type"), lambda _: "must be a list"),
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), lambda _: "must be a JSON object of fields"),
}
"""What a value must be, by pydantic's type of the error. The message adds what it is."""


def field_messages(errors: Iterable[Mapping[str, Any]], config: type[BaseModel] | None) -> list[FieldMessage]:
    """Return a message for each of pydantic's errors. `config` is the model whose fields are suggested for unknown
    names."""
    return [(_path(error["loc"]), field_message(error, config)) for error in errors]


def field_message(error: Mapping[str, Any], config: type[BaseModel] | None) -> str:
    """Return what is wrong, for one of pydantic's errors."""
    type_, value = error["type"], error.get("input")
    if type_ == "extra_forbidden":
        return "there is no such field" + suggest_field(str(error["loc"][-1]), config)
    if type_ == "missing":
        return "is missing"
    if type_ in ("too_short", "too_long"):
        return _length(error["ctx"])
    if type_ == "string_too_short":
        return "must not be empty"
    if (rule := _RULES.get(type_)) is not None:
        context = error.get("ctx") or {}
        return f"{rule(context)}, not {in_words(value)}{_similar(value, context)}"
    return str(error["msg"]).removeprefix("Value error, ")


def _path(location: Iterable[object]) -> str:
    return ".".join(map(str, location)) or "config"


def _similar(value: object, context: _Context) -> str:
    """Suggest the choice that resembles the value."""
    if "expected" not in context or not isinstance(value, str) or len(value) > LONGEST_NAME:
        return ""
    choices = context["expected"].replace("'", "").replace(" or ", ", ").split(", ")
    close = get_close_matches(value.lower(), choices, n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _number(limit: float) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit:g}"


def _length(context: _Context) -> str:
    least = "min_length" in context
    bound = counted(context["min_length" if least else "max_length"], "value")
    return f"must have at {'least' if least else 'most'} {bound}, not {context['actual_length']}"
