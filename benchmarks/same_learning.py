"""Effect of the speed-ups on the result: `python -m benchmarks.same_learning --json FILE [--check] [--quick]`.

Trains pairs from the same seed, with and without the speed-ups, on real faces split by subject. They are equivalent if,
by two one-sided t tests (Schuirmann 1987) at 5 %, the mean difference is within one standard deviation over seeds.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from scipy import stats  # type: ignore[import-untyped]

from app.finetune.config import BICUBIC
from app.finetune.events import Checkpoint, EpochFinished, TrainingEvent
from benchmarks.support import Outcome, Table, Target, argument_parser, describe_machine, report
from benchmarks.training import reference
from benchmarks.training.data import Inputs, config, write_inputs
from worker.training.finetune import finetune
from worker.training.models.edgeface import load_edgeface
from worker.training.runtime.device import choose_precision

PACKAGES = ("torch", "timm", "torchvision", "scipy")
SIGNIFICANCE = 0.05
MEASURES = ("train loss of the last epoch", "TAR at FAR 0.1 %, unseen people")


def main() -> int:
    parser = argument_parser("The final loss and TAR@FAR=0.1% with and without the speed-ups, paired by seed.")
    parser.add_argument("--seeds", type=int, help="number of pairs (default 20)")
    arguments = parser.parse_args()
    machine = describe_machine(PACKAGES)
    assets = Path(os.environ.get("EDGEFACE_TEST_ASSETS", "../shared"))
    if not (assets / "faces" / "orl_aligned").is_dir():
        parser.error(f"real faces are needed: no {assets}/faces/orl_aligned (set EDGEFACE_TEST_ASSETS)")
    seeds = arguments.seeds or (2 if arguments.quick else 20)
    epochs = (1, 1) if arguments.quick else (2, 5)
    found: dict[str, list[tuple[float, float]]] = {"reference": [], "float32": []}
    if choose_precision("auto", torch.device("cpu")).name == "bf16":
        found["bf16"] = []
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
        for seed in range(seeds):
            settings = config(stage1_epochs=epochs[0], stage2_epochs=epochs[1], seed=seed).model_copy(
                update={"backbone_lr": 1e-4, "val_interval": epochs[1], "dsr": BICUBIC, "device": "cpu"}
            )
            if seed == 0:
                write_inputs(Path(folder), settings, subjects=40, train_images=3, assets=assets, unseen=10)
            inputs = Inputs(Path(folder), settings)
            found["reference"].append(reference.train(inputs))
            for precision, pairs in list(found.items())[1:]:
                pairs.append(_ours(inputs, precision, Path(folder) / f"{seed}-{precision}"))
            print(f"seed {seed}: {[pairs[-1] for pairs in found.values()]}", file=sys.stderr, flush=True)
    return report("same_learning", machine, _outcome(found), arguments)


def _ours(inputs: Inputs, precision: str, output: Path) -> tuple[float, float]:
    losses: list[float] = []
    checkpoints: list[Checkpoint] = []  # one: val_interval makes the last epoch the only validated one

    def hear(event: TrainingEvent) -> None:
        if isinstance(event, Checkpoint):
            checkpoints.append(event)
        if isinstance(event, EpochFinished):
            losses.append(event.train_loss)

    settings = inputs.config.model_copy(update={"mixed_precision": "off" if precision == "float32" else precision})
    finetune(settings, inputs.files(output), hear)
    backbone, _ = load_edgeface(checkpoints[-1].full.path)
    return losses[-1], reference.tar(inputs, backbone)


def _outcome(found: dict[str, list[tuple[float, float]]]) -> Outcome:
    values = {name: np.array(pairs) for name, pairs in found.items()}
    rows, targets, figures = [], [], {}
    for index, measure in enumerate(MEASURES):
        expected = values["reference"][:, index]
        deviation = float(expected.std(ddof=1))
        for name in list(values)[1:]:
            differences = values[name][:, index] - expected
            test = stats.ttest_1samp(differences, 0.0)
            low, high = test.confidence_interval(1 - 2 * SIGNIFICANCE)
            p = max(
                stats.ttest_1samp(differences, -deviation, alternative="greater").pvalue,
                stats.ttest_1samp(differences, deviation, alternative="less").pvalue,
            )
            rows.append(
                [
                    f"{name}: {measure}",
                    f"{expected.mean():.4f}",
                    f"{deviation:.4f}",
                    f"{differences.mean():+.5f}",
                    f"{low:+.5f} to {high:+.5f}",
                    f"{p:.2g}",
                ]
            )
            targets.append(
                Target(f"p that ours in {name} is not equivalent, {measure}", float(p), at_most=SIGNIFICANCE)
            )
            figures[f"{name}: {measure}"] = {"reference": expected.tolist(), "ours": values[name][:, index].tolist()}
    columns = ["", "without, mean", "its SD over seeds", "mean difference", "90 % interval", "p (TOST)"]
    title = f"{len(found['reference'])} paired seeds, ORL at 16 px, 30 people to train on, 10 unseen"
    return Outcome([Table(title, columns, rows)], targets, {"pairs": figures})


if __name__ == "__main__":
    sys.exit(main())
