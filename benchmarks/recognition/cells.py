"""Caches results, one file per cell, so that an interrupted run resumes.

A cell's name contains a digest of everything its figures depend on except the code: changed constants make a new cell.
After a change of the trainer's code, decide yourself whether to start with an empty folder.
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
"""Rates by the people's name and by probe size."""


@dataclass(frozen=True)
class Cell:
    """A table row on a fold, for the training with a seed (None without training) and faces of `size` px (None: several
    sizes). `depends_on` holds all further parameters of its figures."""

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
    """The cells in a folder, written atomically."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, cell: Cell, measure: Callable[[], Measured]) -> Measured:
        """Return the cached result, or call `measure` and cache its result."""
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
