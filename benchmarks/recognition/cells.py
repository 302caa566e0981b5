"""What was measured is kept, a file for each cell, so that a run that was broken off goes on where it stopped.

A cell's name has a digest of all that its figures depend on but the code: changed constants give another cell, the old
one stays. Who changes the code of the trainer decides himself whether to begin with an empty folder.
"""

import hashlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.finetune.atomic import atomic_file
from benchmarks.recognition.rates import Rate, Rates

FORMAT_VERSION = 1
_DIGITS = 5

Measured = dict[str, dict[str, Rates]]
"""By the people's name and by probe size."""


@dataclass(frozen=True)
class Cell:
    """`row` of the table on a fold, by the training with this seed (None where nothing is trained), of faces of `size`
    px (None: of several). `depends_on` is what else its figures depend on."""

    row: str
    fold: int
    seed: int | None
    size: int | None
    depends_on: Mapping[str, Any]

    @property
    def name(self) -> str:
        made_of = [FORMAT_VERSION, self.row, self.fold, self.seed, self.size, self.depends_on]
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
        words = [self.row.replace(" ", "-"), f"fold{self.fold}"]
        words += [] if self.seed is None else [f"seed{self.seed}"]
        words += [] if self.size is None else [f"{self.size}px"]
        return "-".join([*words, digest])


class Cells:
    """The files of a folder. Each is named once it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, cell: Cell, measure: Callable[[], Measured]) -> Measured:
        """What is kept of it, or else what `measure` finds, which is then kept."""
        path = self._folder / f"{cell.name}.json"
        if path.is_file():
            return _back(json.loads(path.read_text())["measured"])
        started = time.monotonic()
        measured = measure()
        content = {
            "row": cell.row,
            "fold": cell.fold,
            "seed": cell.seed,
            "size": cell.size,
            "depends_on": dict(cell.depends_on),
            "seconds": round(time.monotonic() - started, 1),
            "measured": _plain(measured),
        }
        with atomic_file(path) as file:
            file.write(json.dumps(content).encode() + b"\n")
        shown = {
            people: {size: round(rates["TAR@0.1%"].value, 3) for size, rates in by_size.items()}
            for people, by_size in measured.items()
        }
        print(f"{cell.name}: {content['seconds']} s, TAR@0.1% {shown}", file=sys.stderr, flush=True)
        return measured


def _plain(measured: Measured) -> dict[str, Any]:
    return {
        people: {
            size: {
                name: {"value": rate.value, "draws": [round(float(draw), _DIGITS) for draw in rate.draws]}
                for name, rate in rates.items()
            }
            for size, rates in by_size.items()
        }
        for people, by_size in measured.items()
    }


def _back(plain: dict[str, Any]) -> Measured:
    return {
        people: {
            size: {name: Rate(rate["value"], np.array(rate["draws"])) for name, rate in rates.items()}
            for size, rates in by_size.items()
        }
        for people, by_size in plain.items()
    }
