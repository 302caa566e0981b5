"""Ours against an earlier commit of ours: a whole job with DSR and the evaluation, of 2,000 drawn images."""

import sys
import tempfile
from pathlib import Path

from benchmarks.support import Figure, Outcome, Table, Target, ratios
from benchmarks.training.data import config, write_inputs
from benchmarks.training.outcome import Trained
from benchmarks.training.process import train

SUBJECTS, TRAIN_IMAGES = 200, 8  # and two images of each to validate with: four fifths train, as in the guide's job
TIMES_FASTER = 1.3


def compare_versions(earlier: Path, *, rounds: int, subjects: int = SUBJECTS) -> Outcome:
    """Train in turn by the code of the checkout `earlier` and by this one, one epoch of each stage."""
    trained: dict[str, list[Trained]] = {"before": [], "ours": []}
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
        settings = config(stage1_epochs=1, stage2_epochs=1)
        none = Path(folder) / "assets"  # without them, faces are drawn
        inputs = write_inputs(Path(folder), settings, subjects=subjects, train_images=TRAIN_IMAGES, assets=none)
        for turn in range(rounds):
            for version in ("before", "ours") if turn % 2 == 0 else ("ours", "before"):
                trained[version].append(train("ours", inputs, earlier if version == "before" else None))
                seconds = trained[version][-1].seconds_with_evaluation
                print(f"{turn + 1}/{rounds} {version}: {seconds:.1f} s", file=sys.stderr, flush=True)
    return versions_outcome(trained, subjects * (TRAIN_IMAGES + 2))


def versions_outcome(trained: dict[str, list[Trained]], images: int) -> Outcome:
    """Build the table of both versions; their losses have to be equal."""
    seconds = {
        version: Figure(tuple(each.seconds_with_evaluation for each in runs)) for version, runs in trained.items()
    }
    faster = ratios(seconds["before"], seconds["ours"])
    losses = {version: runs[0].losses for version, runs in trained.items()}
    rows = [
        [version, seconds[version].shown(), ", ".join(f"{loss:.6f}" for loss in losses[version])] for version in trained
    ]
    return Outcome(
        [Table(f"{images} drawn images, DSR and evaluation", ["version", "whole job, s", "losses by epoch"], rows)],
        [
            Target("whole job with DSR and evaluation, times as fast as before", faster.median, TIMES_FASTER),
            Target("losses that differ from before", float(losses["before"] != losses["ours"]), at_most=0),
        ],
        {"seconds": seconds, "faster": faster, "losses": losses},
    )
