"""Recognition of unseen people: `python -m benchmarks.recognition --json FILE [--check] [--quick]`.

EdgeFace-XXS on aligned ORL at 8, 12, 16 and 24 px: 4 folds of unseen people (30 for training, 10 for the test), 3
seeds; each fold's model on Yale too. docs/notebook/recognition.md states how far either took part in choosing the
recommended recipe. Rows: direct feed (only the pipeline's last resize), bicubic, DSR if given, the guide's recipe (a
training per size), the recommended one (one training for all sizes), and HR probes, the ceiling. Results are cached:
the same command resumes after an interruption.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch

from app.finetune.config import FinetuneConfig
from benchmarks.recognition.cells import Cell, Cells, Measured
from benchmarks.recognition.outcome import (
    BICUBIC,
    CEILING,
    DIRECT,
    DSR,
    GUIDE,
    ORL,
    RECOMMENDED,
    YALE,
    outcome,
    trained_at,
)
from benchmarks.recognition.people import FOLDS, Fold, People, read_fold, read_people
from benchmarks.recognition.rates import HR, Rate, Rates, measure
from benchmarks.recognition.trainings import config_of, train, what_figures_depend_on
from benchmarks.support import argument_parser, describe_machine, report
from worker.training.data.preprocess import RESAMPLER, Enlarge, EnlargeByDsr, enlarge_bicubic, enlarge_bilinear
from worker.training.models.dsr import load_dsr
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.runtime.control import Control
from worker.training.storage.digests import sha256_of

PACKAGES = ("torch", "timm", "numpy")
SIZES = (8, 12, 16, 24)
SEEDS = 3
ROWS = (DIRECT, BICUBIC, DSR, GUIDE, RECOMMENDED)
_YALE_DRAW = 1000


def main() -> int:
    arguments = _arguments()
    machine = describe_machine(PACKAGES)
    folds, seeds = (1, 1) if arguments.quick else (FOLDS, SEEDS)
    means: defaultdict[tuple[str, str, str], list[Rates]] = defaultdict(list)
    bench = _Bench(arguments.assets, arguments.results, arguments.dsr)
    for number in range(folds):
        fold = read_fold(arguments.assets / "faces" / "orl_aligned", number)
        for cell, measured in bench.cells_of(fold, seeds, arguments.rows):
            for people, by_size in measured.items():
                for size, rates in by_size.items():
                    means[_row_of(cell, size), people, size].append(rates)
    found = {
        key: {name: Rate.mean([each[name] for each in rates]) for name in rates[0]} for key, rates in means.items()
    }
    trained = f"{folds} fold{'s' * (folds > 1)} of 10 unseen people, {seeds} seed{'s' * (seeds > 1)}"
    return report("recognition", machine, outcome(found, SIZES, trained), arguments)


def _arguments() -> argparse.Namespace:
    parser = argument_parser(__doc__ or "")
    parser.add_argument(
        "--dsr",
        metavar="FILE",
        help="DSR weights; {fold} and {size} in the name stand for 0..3 and 8..24. Train each on its fold's 30 "
        "people, or the other ten are not unseen.",
    )
    parser.add_argument(
        "--results", type=Path, metavar="FOLDER", help="folder of the cached cells (default: next to --json)"
    )
    parser.add_argument(
        "--rows", default=",".join(ROWS), help=f"rows to measure, of: {', '.join(ROWS)}; baselines are always measured"
    )
    arguments = parser.parse_args()
    arguments.rows = arguments.rows.split(",")
    if unknown := set(arguments.rows) - set(ROWS):
        parser.error(f"--rows: there is no {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    arguments.results = arguments.results or arguments.json.with_name(f"{arguments.json.stem}-cells")
    arguments.assets = Path(os.environ.get("EDGEFACE_TEST_ASSETS", "../shared"))
    for needed in ("faces/orl_aligned", "faces/yale_aligned", "weights/edgeface_xxs.pt"):
        if not (arguments.assets / needed).exists():
            parser.error(f"real faces and weights are needed: no {arguments.assets / needed}; set EDGEFACE_TEST_ASSETS")
    return arguments


def _row_of(cell: Cell, size: str) -> str:
    """Return the table row of a cell's figures for probes of this size."""
    if size != HR:
        return cell.row
    if cell.seed is None:
        return CEILING
    return cell.row if cell.size is None else trained_at(cell.row, cell.size)


class _Bench:
    """Measures the cells that are not cached."""

    def __init__(self, assets: Path, results: Path, dsr: str | None) -> None:
        self._cells = Cells(results)
        self._edgeface = assets / "weights" / "edgeface_xxs.pt"
        self._untouched = load_edgeface(self._edgeface)[0]
        self._yale = read_people(assets / "faces" / "yale_aligned")
        self._dsr = dsr
        self._always = {"edgeface": sha256_of(self._edgeface, Control()), "resampler": RESAMPLER}

    def cells_of(self, fold: Fold, seeds: int, rows: list[str]) -> Iterator[tuple[Cell, Measured]]:
        for row, enlarge in ((DIRECT, enlarge_bilinear), (BICUBIC, enlarge_bicubic)):
            cell = self._cell(row, fold)
            yield cell, self._cells.get(cell, partial(self._measure, self._untouched, fold, SIZES, enlarge))
        if DSR in rows and self._dsr:
            for size in SIZES:
                path = Path(self._dsr.format(fold=fold.number, size=size))
                cell = self._cell(DSR, fold, size=size, dsr=sha256_of(path, Control()))
                yield cell, self._cells.get(cell, partial(self._measure_dsr, path, fold, size))
        for seed in range(seeds):
            if GUIDE in rows:
                config = config_of("guide", seed=seed)
                for size in SIZES:
                    cell = self._cell(GUIDE, fold, seed, size, config=what_figures_depend_on(config))
                    yield cell, self._cells.get(cell, partial(self._train, config, fold, (size,)))
            if RECOMMENDED in rows:
                config = config_of("recommended", seed=seed)
                cell = self._cell(RECOMMENDED, fold, seed, config=what_figures_depend_on(config))
                yield cell, self._cells.get(cell, partial(self._train, config, fold, SIZES))

    def _cell(
        self, row: str, fold: Fold, seed: int | None = None, size: int | None = None, **depends_on: object
    ) -> Cell:
        return Cell(row, fold.number, seed, size, {**self._always, "train": fold.train.names, **depends_on})

    def _train(self, config: FinetuneConfig, fold: Fold, sizes: tuple[int, ...]) -> Measured:
        return self._measure(train(config, fold.train, sizes, self._edgeface), fold, sizes, enlarge_bicubic)

    def _measure_dsr(self, path: Path, fold: Fold, size: int) -> Measured:
        enlarge = EnlargeByDsr(load_dsr(path), path, torch.device("cpu"))
        found = self._measure(self._untouched, fold, (size,), enlarge)
        return {people: {str(size): by_size[str(size)]} for people, by_size in found.items()}

    def _measure(self, backbone: EdgeFace, fold: Fold, sizes: tuple[int, ...], enlarge: Enlarge) -> Measured:
        tried: tuple[tuple[str, People, int], ...] = ((ORL, fold.unseen, fold.number), (YALE, self._yale, _YALE_DRAW))
        return {name: measure(backbone, people, sizes, draw=draw, enlarge=enlarge) for name, people, draw in tried}


if __name__ == "__main__":
    sys.exit(main())
