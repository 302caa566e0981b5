"""Reads JSON that people write, and says where it is broken."""

import codecs
import json
import re
from json import JSONDecodeError
from typing import Any

from app.finetune.errors import ConfigError

HINT = 'correct the text there; a JSON object looks like {"dataset": "orl16", "stage2_epochs": 20}'

_CONSTANT = re.compile(r"(True|False|None|TRUE|FALSE|NULL|Null)\b")


def read_object(content: bytes, name: str) -> dict[str, Any]:
    """Return the JSON object that `content` holds. `name` is that of the file.

    Raises ConfigError with line and column.
    """
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name} is not JSON: {describe_json_error(error)}", HINT) from None
    if not isinstance(values, dict):
        raise ConfigError(f"{name}: it must be a JSON object of fields, not {in_words(values)}", HINT)
    return values


def describe_json_error(error: ValueError | RecursionError) -> str:
    """Say where the text is broken and what is wrong, as in `line 2, column 5: a comma is missing before this`. The
    error is one that `json.loads` raised."""
    match error:
        case JSONDecodeError() | UnicodeDecodeError() if _is_utf_16(error):
            return (
                "the text is UTF-16 or UTF-32 with bytes missing, as `curl -d` sends it, or contains zero bytes; save "
                "it as UTF-8"
            )
        case JSONDecodeError():
            before = error.doc[: error.pos]
            line, column = before.count("\n") + 1, error.pos - (before.rfind("\n") + 1) + 1
            return f"line {line}, column {column}: {_reason(error)}"
        case UnicodeDecodeError():
            decoded = error.object[: error.start]
            line, column = decoded.count(b"\n") + 1, error.start - (decoded.rfind(b"\n") + 1) + 1
            byte = error.object[error.start]
            return (
                f"line {line}, column {column}: the byte 0x{byte:02x} is not {error.encoding}; save the text as UTF-8"
            )
        case RecursionError():
            return "its lists or objects are nested too deeply"
    return "a number has too many digits" if "digits" in str(error) else str(error)


def in_words(value: object) -> str:
    """A short text for a JSON value, as it is written in JSON."""
    match value:
        case dict():
            return "an object"
        case list() | tuple():
            return "a list"
        case bytes():
            return "other text"
        case float() if value != value or value in (float("inf"), float("-inf")):
            return json.dumps(value)
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_utf_16(error: JSONDecodeError | UnicodeDecodeError) -> bool:
    """Return whether the text is in an encoding of several bytes per character and broken: its bytes, or its ASCII
    characters, which are in the wrong half of their code units."""
    if isinstance(error, UnicodeDecodeError):
        return not error.encoding.startswith("utf-8") or error.object[: error.start].endswith(codecs.BOM_UTF8)
    found = error.doc[error.pos : error.pos + 2]
    return found[:1] in ("\0", "\ufeff") or (
        len(found) > 1 and all(ord(char) > 255 and ord(char) % 256 == 0 for char in found)
    )


def _reason(error: JSONDecodeError) -> str:
    rest, before = error.doc[error.pos :], error.doc[: error.pos].rstrip()
    if not error.doc.strip():
        return "it is empty"
    if not rest.strip():
        return "it ends here, before the last bracket or brace is closed"
    if error.msg.startswith("Illegal trailing comma") or (before.endswith(",") and rest[0] in "}]"):
        return "a comma must not stand before a closing bracket or brace"
    if rest[0] == "'":
        return "text needs double quotes"
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments"
    if constant := _CONSTANT.match(rest):
        return f"{constant[0]} is not JSON: write true, false or null"
    found = f"`{rest.splitlines()[0][:20].strip()}`"
    reasons = {
        "Expecting ',' delimiter": f"a comma is missing before {found}",
        "Expecting ':' delimiter": f"a colon is missing before {found}",
        "Expecting property name enclosed in double quotes": f"a name in double quotes must stand here, not {found}",
        "Expecting value": f"a value must stand here, not {found}; text needs double quotes",
        "Unterminated string starting at": "this text has no closing quote",
        "Invalid control character at": "text must not contain a line break or a tab; write \\n or \\t",
        "Extra data": f"nothing may follow the end of the object, but {found} does",
    }
    if error.msg.startswith("Invalid \\"):
        return "a backslash in text must be doubled, as in C:\\\\faces"
    return reasons.get(error.msg, error.msg)
