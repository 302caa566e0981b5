"""Tables and targets of the recognition benchmark."""

from collections.abc import Mapping
from typing import Any

from benchmarks.recognition.rates import HR, MEASURES, Rate
from benchmarks.support import Outcome, Table, Target

ORL, YALE = "ORL, unseen people", "Yale, another camera"
CEILING, DIRECT, BICUBIC, DSR, GUIDE, RECOMMENDED = (
    "HR, the ceiling",
    "direct feed",
    "bicubic",
    "DSR",
    "guide",
    "recommended",
)

Found = Mapping[tuple[str, str, str], Mapping[str, Rate]]
"""Mean rates over folds and seeds, by row, people and probe size."""

_WANTED = (
    (ORL, "16", "TAR@0.1%", 0.98),
    (ORL, "12", "TAR@0.1%", 0.95),
    (ORL, "8", "TAR@1%", 0.80),
    (YALE, "16", "TAR@0.1%", 0.90),
    (YALE, "12", "TAR@0.1%", 0.65),
)
_MAY_LOSE = ((ORL, 0.005), (YALE, 0.01))
_MORE_THAN_NOTHING = 1e-6


def outcome(found: Found, sizes: tuple[int, ...], trained: str) -> Outcome:
    """Build the outcome. `trained` describes the folds and seeds."""
    result = Outcome()
    rows = [row for row in (DIRECT, BICUBIC, DSR, GUIDE, RECOMMENDED) if any(key[0] == row for key in found)]
    for people in (ORL, YALE):
        for size in map(str, sizes):
            shown = [[row, *_shown(found[row, people, size])] for row in rows if (row, people, size) in found]
            shown.append([CEILING, *_shown(found[CEILING, people, HR])])
            result.tables.append(Table(f"{people}, {size} px against HR; {trained}", ["", *MEASURES], shown))
        kept = [[row, *_shown(rates)] for row, rates in _hr_rows(found, people, sizes)]
        result.tables.append(Table(f"{people}, HR against HR: what is kept", ["", *MEASURES], kept))
    if RECOMMENDED in rows:
        _judge(found, sizes, result)
    result.figures = {"rates": [_figure(key, rates) for key, rates in found.items()]}
    return result


def _judge(found: Found, sizes: tuple[int, ...], result: Outcome) -> None:
    for people, size, measure, wanted in _WANTED:
        got = found[RECOMMENDED, people, size][measure].value
        result.targets.append(Target(f"recommended, {people}, {size} px, {measure}", got, at_least=wanted))
    for people, most in _MAY_LOSE:
        lost = found[CEILING, people, HR]["TAR@0.1%"].value - found[RECOMMENDED, people, HR]["TAR@0.1%"].value
        result.targets.append(Target(f"recommended, {people}, HR, TAR@0.1% lost", lost, at_most=most))
    rows = []
    for people in (ORL, YALE):
        for size in map(str, sizes):
            if (GUIDE, people, size) not in found:
                continue
            ours, guides = found[RECOMMENDED, people, size], found[GUIDE, people, size]
            better = {measure: ours[measure].minus(guides[measure]) for measure in MEASURES}
            rows.append([f"{people}, {size} px", *(rate.shown("+") for rate in better.values())])
            name = f"recommended - guide, {people}, {size} px, TAR@0.1%, low end of its interval"
            result.targets.append(Target(name, better["TAR@0.1%"].interval[0], at_least=_MORE_THAN_NOTHING))
    result.tables.append(Table("recommended - guide, paired by people", ["", *MEASURES], rows))


def _hr_rows(found: Found, people: str, sizes: tuple[int, ...]) -> list[tuple[str, Mapping[str, Rate]]]:
    rows = [CEILING, *(trained_at(GUIDE, size) for size in sizes), RECOMMENDED]
    return [(row, found[row, people, HR]) for row in rows if (row, people, HR) in found]


def trained_at(row: str, size: int) -> str:
    """Return the row's name for HR probes with a model trained for one size."""
    return f"{row}, trained at {size} px"


def _shown(rates: Mapping[str, Rate]) -> list[str]:
    return [rates[measure].shown() for measure in MEASURES]


def _figure(key: tuple[str, str, str], rates: Mapping[str, Rate]) -> dict[str, Any]:
    row, people, size = key
    return {"row": row, "people": people, "probes": size} | {
        measure: {"value": rate.value, "interval": list(rate.interval)} for measure, rate in rates.items()
    }
