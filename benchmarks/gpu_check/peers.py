"""Ours beside the careful loop and the ceiling of benchmarks/training, each in processes of its own, in turns."""

from benchmarks.gpu_check.check import Check
from benchmarks.support import Figure, ratios
from benchmarks.training.data import config, write_inputs
from benchmarks.training.outcome import Trained
from benchmarks.training.process import train

PEERS = {
    "careful": "careful PyTorch: stored faces, loader workers",
    "ours": "ours",
    "ceiling": "ceiling: our step on faces on the device, nothing else",
}
WANTED_OF_CAREFUL, WANTED_OF_CEILING = 3.0, 0.95
_ROUNDS = 3


def run(check: Check) -> None:
    check.section(compare_with_peers)


def compare_with_peers(check: Check) -> None:
    """Rounds are repeated while there is time. A pretended GPU does not reach into these processes."""
    settings = config(stage1_epochs=1, stage2_epochs=check.pick(6, 2))
    subjects, images = (25, 40) if check.is_gpu else (4, 4)
    inputs = write_inputs(
        check.folder, settings, subjects=subjects, train_images=images, assets=check.folder / "drawn faces"
    )
    rounds: dict[str, list[Trained]] = {peer: [] for peer in PEERS}
    longest, left = 0.0, check.left
    while len(rounds["ours"]) < check.pick(_ROUNDS, 1) and check.left > longest:
        for peer, trained in rounds.items():
            trained.append(train(peer, inputs))
        longest, left = max(longest, left - check.left), check.left
    seconds = {peer: Figure(tuple(each.seconds for each in trained)) for peer, trained in rounds.items()}
    # The first epoch warms up.
    rates = {
        peer: Figure(tuple(Figure(tuple(each.images_per_second[1:])).median for each in trained))
        for peer, trained in rounds.items()
    }
    for peer, name in PEERS.items():
        if peer != "ceiling":
            check.measured(f"{name}: whole job, {subjects * images} faces", seconds[peer].values, "s")
        check.measured(f"{name}: stage 2", rates[peer].values, "images/s")
    faster = ratios(rates["ours"], rates["careful"]).values
    check.measured("stage 2: ours to careful PyTorch", faster, "times", reference=f"wanted: {WANTED_OF_CAREFUL:g}")
    share = ratios(rates["ours"], rates["ceiling"]).values
    check.measured("stage 2: ours to the ceiling", share, "times", reference=f"wanted: {WANTED_OF_CEILING:g}")
