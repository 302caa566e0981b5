"""People under two names: how often the rule stops and warns of innocent people, and how often it finds the others.

`python -m benchmarks.judging.two_names --json FILE [--sets orl_aligned,orl] [--draws 3000]`. The criteria were chosen
on ORL; the other sets only verify them.
"""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from benchmarks.judging.draws import Draw, draw_people, found_in
from benchmarks.judging.embedded import SIZES, EmbeddedFaces
from benchmarks.support import Outcome, Table, Target, argument_parser, describe_machine, report
from worker.training.metrics import FaceSet

INNOCENT = (Draw(20, 2, 2), Draw(20, 2, 10), Draw(5, 2, 4), Draw(100, 2, 10))
GUILTY = (Draw(20, 2, 2, 1), Draw(20, 4, 5, 1))
_WHOLE = ("orl", "HR"), ("orl_aligned", "HR"), ("yale_aligned", "HR"), ("orl_aligned", "12")
_COLUMNS = ("faces", "px", "people", "images", "draws", "stopped", "warned")


def main() -> int:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--sets", default="orl_aligned,orl,yale_aligned,lfw_aligned")
    parser.add_argument("--sizes", default=",".join(SIZES))
    parser.add_argument(
        "--draws", type=int, default=3000, help="of each kind with innocent people; a tenth with others"
    )
    parser.add_argument("--weights", default="edgeface_xxs")
    parser.add_argument("--embeddings", type=Path, metavar="FOLDER", help="kept embeddings (default: next to --json)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    assets = Path(os.environ.get("EDGEFACE_TEST_ASSETS", "../shared"))
    folder = arguments.embeddings or arguments.json.with_name(f"{arguments.json.stem}-embeddings")
    embedded = EmbeddedFaces(assets, folder, arguments.weights)
    draws = 30 if arguments.quick else arguments.draws
    outcome = Outcome()
    rows: list[list[str]] = []
    stops = 0
    for name in arguments.sets.split(","):
        for size in arguments.sizes.split(","):
            faces = embedded.of(name, size)
            for draw in (*INNOCENT, *GUILTY):
                count = max(10, draws // 10) if draw.two_names or draw.people > 50 else draws
                stopped, warned = _rates(faces, draw, count)
                stops += 0 if draw.two_names else stopped
                images = f"{draw.least}" if draw.least == draw.most else f"{draw.least} to {draw.most}"
                people = f"{draw.people}{', one with two names' if draw.two_names else ''}"
                shares = (f"{stopped / count:.3f}", f"{warned / count:.3f}")
                rows.append([name, size, people, images, str(count), *shares])
                print(*rows[-1], flush=True)
    whole = [
        [name, size, *(f"{share:.2f}" for every in (True, False) for share in _shares(embedded.of(name, size), every))]
        for name, size in _WHOLE
        if name in arguments.sets.split(",")
    ]
    columns = ("faces", "px", "every second: stopped", "found", "one image: stopped", "found")
    outcome.tables.append(Table("Each person of a whole set under two names in turn", columns, whole))
    outcome.tables.append(Table("Draws with a pair that is stopped, or warned of", _COLUMNS, rows))
    outcome.figures["rows"] = [dict(zip(_COLUMNS, row, strict=True)) for row in rows]
    outcome.targets.append(Target("draws of innocent people that are stopped", stops, at_most=0))
    return report("two names", describe_machine(("torch", "timm", "numpy")), outcome, arguments)


def _rates(faces: FaceSet, draw: Draw, count: int) -> tuple[int, int]:
    """Return in how many draws a pair is certain, and in how many others one is noticed: with two names, that pair."""
    stopped = warned = 0
    for drawn in draw_people(faces, draw, count):
        found = found_in(drawn)
        if draw.two_names:
            found = [pair for pair in found if pair.second == f"{pair.first}-again"]
        stopped += any(pair.certain for pair in found)
        warned += bool(found) and not any(pair.certain for pair in found)
    return stopped, warned


def _shares(faces: FaceSet, every_second: bool) -> tuple[float, float]:
    """Return the shares of people who are stopped, and stopped or warned of, when a second name is given to every
    second of their images or to one."""
    stopped = found = 0
    subjects = np.asarray(faces.subjects)
    people = sorted(set(faces.subjects))
    for person in people:
        images = np.flatnonzero(subjects == person)
        renamed = set((images[::2] if every_second else images[:1]).tolist())
        names = [f"{name}-again" if place in renamed else name for place, name in enumerate(faces.subjects)]
        pairs = [pair for pair in found_in(FaceSet(faces.embeddings, names, faces.names)) if pair.first == person]
        stopped += any(pair.certain for pair in pairs)
        found += bool(pairs)
    return stopped / len(people), found / len(people)


if __name__ == "__main__":
    sys.exit(main())
