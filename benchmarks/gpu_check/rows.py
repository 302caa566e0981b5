"""Results as rows: printed when they are found, appended to a file that outlives a killed process."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

Value = float | str
"""A figure, or words where there is no figure."""

_NAME_WIDTH = 62


@dataclass(frozen=True)
class Row:
    """One result.

    `value` is the median of `n` measurements between `minimum` and `maximum`, which are None for a single one.
    `reference` is what it is compared with, as the name says. `passed` is None where nothing is required of it.
    What did not run, because no time was left for it, is a row whose `ran` is false; `value` says why.
    """

    group: str
    name: str
    value: Value
    unit: str = ""
    n: int = 1
    minimum: float | None = None
    maximum: float | None = None
    reference: Value | None = None
    passed: bool | None = None
    ran: bool = True

    @classmethod
    def of(cls, group: str, name: str, values: Sequence[float], unit: str, **more: Any) -> "Row":
        """The median of repeated measurements, with their spread. Raises ValueError where there are none."""
        if not values:
            raise ValueError(f"nothing was measured: {name}")
        if len(values) == 1:
            return cls(group, name, values[0], unit, **more)
        return cls(group, name, median(values), unit, len(values), min(values), max(values), **more)

    def cells(self) -> tuple[str, str, str, str, str]:
        """Name, value with unit, spread, n and reference, for a table."""
        spread = ""
        if self.minimum is not None and self.maximum is not None:
            spread = f"{in_digits(self.minimum)} to {in_digits(self.maximum)}"
        value = f"{in_digits(self.value)} {self.unit}".rstrip()
        return self.name, value, spread, str(self.n), "" if self.reference is None else in_digits(self.reference)

    @classmethod
    def not_run(cls, group: str, name: str, why: str) -> "Row":
        return cls(group, name, f"not run: {why}", ran=False)

    def shown(self) -> str:
        """In one line, for a terminal."""
        verdict = {True: "ok  ", False: "FAIL", None: "    "}[self.passed] if self.ran else "----"
        return f"{verdict} {self.name:<{_NAME_WIDTH}} {self.figure()}{self._compared()}"

    def figure(self) -> str:
        """The value with unit and spread."""
        text = f"{in_digits(self.value)} {self.unit}".rstrip()
        if self.minimum is None or self.maximum is None:
            return text
        return f"{text} [{in_digits(self.minimum)}, {in_digits(self.maximum)}] n={self.n}"

    def _compared(self) -> str:
        return "" if self.reference is None else f" (reference: {in_digits(self.reference)})"


def in_digits(value: Value) -> str:
    """A figure with three significant digits, or all digits before the point; words as they are."""
    if isinstance(value, str):
        return value
    if value and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.2e}"
    digits = next((count for count, limit in enumerate((100, 10, 1, 0.1, 0.01)) if abs(value) >= limit), 5)
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.{digits}f}"


class RowFile:
    """Rows as JSON lines. A process that is killed loses at most the row that it is writing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, row: Row) -> None:
        """Write and print a row."""
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")
        print(row.shown(), flush=True)

    def read(self) -> list[Row]:
        """The rows so far. A line that was cut short is left out."""
        rows = []
        for line in self._path.read_text().splitlines() if self._path.is_file() else []:
            with contextlib.suppress(ValueError):
                rows.append(Row(**json.loads(line)))
        return rows
