"""Speed of one training in five implementations:

`python -m benchmarks.train_throughput --json FILE [--check] [--quick]`; with `--before CHECKOUT` of a whole job in this
commit and in the one of the checkout.
"""

import os
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.support import Figure, Outcome, Table, Target, argument_parser, describe_machine, ratios, report
from benchmarks.training.data import config, write_inputs
from benchmarks.training.outcome import Trained
from benchmarks.training.process import train
from benchmarks.training.versions import compare_versions

PACKAGES = ("torch", "torchvision", "timm", "lightning", "pytorch-metric-learning")
IN_WORDS = {
    "guide": "(a) the guide's way: DSR for each sample of each epoch",
    "careful": "(b) careful plain PyTorch: stored PNGs, loader workers",
    "careful, channels_last": "(b) the same in channels_last",
    "fabric": "(c) Lightning Fabric, pytorch-metric-learning",
    "ours": "ours",
    "ceiling": "(d) the ceiling: our step, data on the device, nothing else",
}
CPU_TARGETS = {"guide": 6.0, "careful": 1.3, "careful, channels_last": 1.3, "fabric": 1.3}
GPU_TARGETS = {"guide": 30.0, "careful": 3.0, "careful, channels_last": 3.0, "fabric": 3.0}
OF_THE_CEILING = 0.95
IMAGES = 8
"""Of each subject, to train on; two more to validate with."""
CHANNELS_LAST = "careful, channels_last"
"""Only where asked for: it does not help that peer."""


def main() -> int:
    parser = argument_parser("Whole-job seconds and stage-2 images/s beside peers, same faces, config and seed.")
    parser.add_argument("--peer", choices=IN_WORDS, action="append", help="run only this peer; may be repeated")
    parser.add_argument(
        "--before",
        type=Path,
        metavar="CHECKOUT",
        help="run only the job of 2,000 drawn images with DSR and evaluation, against the commit in this checkout",
    )
    arguments = parser.parse_args()
    machine = describe_machine(PACKAGES)
    rounds, subjects, epochs = (1, 8, (1, 2)) if arguments.quick else (5, 25, (5, 20))
    if arguments.before is not None:
        size = {"rounds": 1, "subjects": 8} if arguments.quick else {"rounds": 3}
        outcome_of_versions = compare_versions(arguments.before.resolve(), **size)
        return report("train_throughput", machine, outcome_of_versions, arguments)
    assets = Path(os.environ.get("EDGEFACE_TEST_ASSETS", "../shared"))
    peers = arguments.peer or [peer for peer in IN_WORDS if peer != CHANNELS_LAST]
    trained: dict[str, list[Trained]] = {peer: [] for peer in peers}
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
        settings = config(stage1_epochs=epochs[0], stage2_epochs=epochs[1])
        inputs = write_inputs(Path(folder), settings, subjects=subjects, train_images=IMAGES, assets=assets)
        for turn in range(rounds):
            for peer in peers[turn % len(peers) :] + peers[: turn % len(peers)]:
                trained[peer].append(train(peer, inputs))
                print(f"{turn + 1}/{rounds} {peer}: {trained[peer][-1].seconds:.1f} s", file=sys.stderr, flush=True)
    return report("train_throughput", machine, outcome(trained, subjects * IMAGES), arguments)


def outcome(trained: dict[str, list[Trained]], images: int) -> Outcome:
    """Build the tables: both figures of every peer, the ratios to ours in the same round, and the loss curves."""
    seconds = {peer: Figure(tuple(each.seconds for each in runs)) for peer, runs in trained.items()}
    # The first epoch is warm-up.
    rates = {
        peer: Figure(tuple(Figure(tuple(each.images_per_second[1:])).median for each in runs))
        for peer, runs in trained.items()
    }
    faster = {peer: ratios(seconds[peer], seconds["ours"]) for peer in trained if peer not in ("ours", "ceiling")}
    denser = {peer: ratios(rates["ours"], rates[peer]) for peer in trained if peer != "ours"}
    rows = [
        [
            IN_WORDS[peer],
            "" if peer == "ceiling" else seconds[peer].shown(),
            faster[peer].shown(2) if peer in faster else "",
            rates[peer].shown(0),
            denser[peer].shown(2) if peer in denser else "",
        ]
        for peer in trained
    ]
    if "ours" in trained:
        with_evaluation = Figure(tuple(each.seconds_with_evaluation for each in trained["ours"]))
        rows.append(["ours, with the evaluation and its report", with_evaluation.shown(), "", "", ""])
    columns = ["", "whole job, s", "ours is faster by", "stage 2, images/s", "ours to it"]
    wanted = GPU_TARGETS if torch.cuda.is_available() else CPU_TARGETS
    targets = [
        Target(f"whole job, times faster than {IN_WORDS[peer]}", faster[peer].median, wanted[peer]) for peer in faster
    ]
    if "ceiling" in denser:
        targets.append(Target(f"stage 2's images/s to {IN_WORDS['ceiling']}", denser["ceiling"].median, OF_THE_CEILING))
    curves = {peer: runs[0].losses for peer, runs in trained.items() if peer != "ceiling"}
    epochs = range(max(map(len, curves.values())))
    losses = [[str(epoch + 1), *(f"{curve[epoch]:.4f}" for curve in curves.values())] for epoch in epochs]
    return Outcome(
        [
            Table(f"{images} faces, 16 px, DSR of 64 channels and 8 blocks, EdgeFace-XXS", columns, rows),
            Table("Mean train loss by epoch, round 1 (fabric: without label smoothing)", ["epoch", *curves], losses),
        ],
        targets,
        {"seconds": seconds, "images_per_second": rates, "faster": faster, "denser": denser, "losses": curves},
    )


if __name__ == "__main__":
    sys.exit(main())
