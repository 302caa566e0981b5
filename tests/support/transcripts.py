"""Compares what a command printed with what a page shows: the words, with numbers, ids and durations left out."""

import json
import re
from collections.abc import Sequence
from typing import Any

_LEFT_OUT = (
    (r"\x1b\[[0-9;?]*[A-Za-z]", ""),
    (r"\b[0-9a-f]{64}\b", "SHA256"),
    (r"\b[0-9a-f]{24}\b", "ID"),
    (r"\b[0-9a-f]{12}\b", "DIGEST"),
    (r"\b[\w.-]+-\d+-[0-9a-f]{8}\b", "WORKER"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:\d\d)?", "TIME"),
    (r"\b(bf16|float32)\b", "PRECISION"),
    (r"\d+(\.\d+)? (Bytes|bytes|kB|MB|GB)\b", "SIZE"),
    (r"\d+(\.\d+)? (second|minute|hour)s?( and \d+(\.\d+)? (second|minute)s?)?", "DURATION"),
    (r"makes recognition (better|WORSE) than|is not distinguishable from", "IS COMPARED WITH"),
    (r"\b(rose|fell)\b", "MOVED"),
    (r"[+-]?\d+(,\d{3})*(\.\d+)?(e[+-]?\d+)?( ?%)?", "N"),
    (r"\s+", " "),
)
_ANYTHING = "..."
_PROGRESS = re.compile(r"  \.\.\. ")


def shape_of(line: str) -> str:
    """The line with a word in place of each number, id, duration, size, time and verdict."""
    for pattern, word in _LEFT_OUT:
        line = re.sub(pattern, word, line)
    return line.strip()


def text_difference(shown: str, printed: str) -> str | None:
    """Return the first line of `shown` that `printed` lacks at its place, or None.

    Empty lines do not count, nor does the progress that is printed where there is no terminal. A line `...` stands
    for any number of lines, and `...` in a line for any text.
    """
    expected = [shape_of(line) for line in shown.splitlines() if line.strip()]
    actual = [shape_of(line) for line in printed.splitlines() if line.strip() and not _PROGRESS.match(line)]
    reached = _longest_match(expected, actual)
    if reached == len(expected) + 1:
        return None
    return (
        expected[reached]
        if reached < len(expected)
        else f"nothing after {expected[-1] if expected else 'the command'!r}"
    )


def _longest_match(expected: Sequence[str], actual: Sequence[str]) -> int:
    """Number of expected lines matched from the start, plus one if nothing of `actual` is left."""
    places, reached = {0}, 0
    for number, line in enumerate(expected):
        if line == _ANYTHING:
            places = set(range(min(places), len(actual) + 1))
        else:
            places = {place + 1 for place in places if place < len(actual) and _agree(line, actual[place])}
        if not places:
            return number
        reached = number + 1
    return reached + (len(actual) in places)


def _agree(expected: str, actual: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in expected.split(_ANYTHING))
    return re.fullmatch(pattern, actual, re.DOTALL) is not None


def json_difference(shown: str, printed: str) -> str | None:
    """Return the first place at which the keys, kinds or words of the JSON documents in both texts differ, or None.

    null agrees with everything. A key `...` allows further keys. Of a list, the first item is compared.
    """
    expected, actual = _documents(shown), _documents(printed)
    if len(expected) != len(actual):
        return f"{len(expected)} JSON documents are shown, {len(actual)} were printed"
    return next(filter(None, map(_difference, expected, actual)), None)


def _documents(text: str) -> list[Any]:
    decoder, documents, place = json.JSONDecoder(), [], 0
    while place < len(text.rstrip()):
        place += len(text[place:]) - len(text[place:].lstrip())
        document, place = decoder.raw_decode(text, place)
        documents.append(document)
    return documents


def _difference(expected: Any, actual: Any, at: str = "$") -> str | None:
    if expected is None or actual is None:
        return None
    if _kind(expected) != _kind(actual):
        return f"{at}: {_kind(expected)} is shown, {_kind(actual)} was printed"
    if isinstance(expected, dict):
        further = set(actual) - set(expected)
        if missing := set(expected) - set(actual) - {_ANYTHING}:
            return f"{at}: {sorted(missing)} are shown but not printed"
        if further and _ANYTHING not in expected:
            return f"{at}: {sorted(further)} were printed but are not shown"
        keys = [key for key in expected if key != _ANYTHING]
        return next(filter(None, (_difference(expected[key], actual[key], f"{at}.{key}") for key in keys)), None)
    if isinstance(expected, list) and expected and actual:
        return _difference(expected[0], actual[0], f"{at}[0]")
    if isinstance(expected, str) and not _agree(shape_of(expected), shape_of(actual)):
        return f"{at}: {expected!r} is shown, {actual!r} was printed"
    return None


def _kind(value: object) -> str:
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__
