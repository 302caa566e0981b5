"""Time and memory by dataset size:

`python -m benchmarks.scaling --json FILE [--check] [--quick] [--case IMAGESxSUBJECTS]`.

Trains one epoch of each stage on drawn faces, each case in its own process. The files are links to a thousand distinct
drawings; each is decoded, enlarged and trained on separately.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from app.drawn_faces import draw_face
from app.finetune.config import BICUBIC, FinetuneConfig
from benchmarks.support import Outcome, Table, Target, argument_parser, describe_machine, report
from benchmarks.training.data import VLR_SIZE
from worker.training.models.edgeface import new_edgeface
from worker.training.storage.paths import TrainingFiles

PACKAGES = ("torch", "timm")
CASES = ((1_000, 100), (10_000, 100), (10_000, 10_000), (100_000, 100), (100_000, 100_000))
QUICK_CASES = ((200, 20), (400, 20))
DISTINCT = 1_000
VAL_SUBJECTS = 20
LINEAR_WITHIN = 0.25
FLAT_WITHIN = 0.25


def main() -> int:
    parser = argument_parser("Seconds and peak memory by the number of images and of subjects.")
    parser.add_argument("--case", action="append", help="IMAGESxSUBJECTS; may be repeated")
    parser.add_argument("--train-in", type=Path, help="(a case's own process)")
    arguments = parser.parse_args()
    if arguments.train_in:
        _train(arguments.train_in)
        return 0
    machine = describe_machine(PACKAGES)
    cases = [tuple(map(int, case.split("x"))) for case in arguments.case or []]
    found = {}
    for images, subjects in cases or (QUICK_CASES if arguments.quick else CASES):
        with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as folder:
            _write(Path(folder), images, subjects)
            command = [sys.executable, "-m", "benchmarks.scaling", "--json", "unused", "--train-in", folder]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found[images, subjects] = json.loads(done.stdout.splitlines()[-1])
        print(f"{images} images, {subjects} subjects: {found[images, subjects]}", file=sys.stderr, flush=True)
    return report("scaling", machine, _outcome(found), arguments)


def _write(folder: Path, images: int, subjects: int) -> None:
    drawings = folder / "drawings"
    drawings.mkdir()
    distinct = min(images, DISTINCT)
    for number in range(distinct):
        face = draw_face(number % 100, number // 100)
        face.save(drawings / f"hr-{number}.png")
        face.resize((VLR_SIZE, VLR_SIZE)).save(drawings / f"vlr-{number}.png")
    for split, count in (("train", images), ("val", min(100, images))):
        for kind in ("hr", "vlr"):
            (folder / split / f"{kind}_images").mkdir(parents=True)
            for number in range(count):
                subject = number % (subjects if split == "train" else min(subjects, VAL_SUBJECTS))
                name = f"{subject:06}_{number:06}.png"
                (folder / split / f"{kind}_images" / name).hardlink_to(drawings / f"{kind}-{number % distinct}.png")
    torch.save(new_edgeface("edgeface_xxs", seed=0).state_dict(), folder / "edgeface.pt")


def _train(folder: Path) -> None:
    from worker.process.allocator import keep_freed_memory
    from worker.process.openmp import let_waiting_threads_sleep

    let_waiting_threads_sleep()
    keep_freed_memory()
    from app.finetune.events import EpochFinished, Prepared, TrainingEvent
    from worker.training.finetune import finetune

    figures: dict[str, float] = {}

    def hear(event: TrainingEvent) -> None:
        if isinstance(event, Prepared):
            figures["prepare_seconds"] = event.seconds
        if isinstance(event, EpochFinished):
            figures[f"stage{event.stage}_seconds"] = event.seconds

    config = FinetuneConfig(
        train_dir="train", val_dir="val", allowed_leaks=("*",), dsr=BICUBIC, stage1_epochs=1, stage2_epochs=1
    )
    output = folder / "output"
    files = TrainingFiles(
        folder / "train", folder / "val", folder / "edgeface.pt", None, output, prepared_dir=folder / "prepared"
    )
    over = threading.Event()
    peak = [0]
    watch = threading.Thread(target=_watch_memory, args=(peak, over))
    watch.start()
    started = time.perf_counter()
    try:
        finetune(config, files, hear)
    finally:
        over.set()
        watch.join()
    figures["seconds"] = time.perf_counter() - started
    figures["peak_own_bytes"] = peak[0]
    if torch.cuda.is_available():
        figures["peak_device_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(figures))


def _watch_memory(peak: list[int], over: threading.Event) -> None:
    """Track the peak private memory of this process. Pages of mapped faces do not count: the kernel can drop them."""
    while not over.wait(0.05):
        status = Path("/proc/self/status").read_text()
        anonymous = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        peak[0] = max(peak[0], int(anonymous.split()[1]) * 1024)


def _outcome(found: dict[tuple[int, int], dict[str, float]]) -> Outcome:
    names = ["prepare_seconds", "stage1_seconds", "stage2_seconds", "seconds"]
    rows = [
        [
            f"{images:,}",
            f"{subjects:,}",
            *(f"{figures[name]:,.1f}" for name in names),
            f"{1000 * figures['seconds'] / images:.2f}",
            f"{figures['peak_own_bytes'] / 1e6:,.0f}",
        ]
        for (images, subjects), figures in found.items()
    ]
    columns = ["images", "subjects", "prepare, s", "stage 1, s", "stage 2, s", "all, s", "ms an image", "memory, MB"]
    targets = []
    by_images = {images: figures for (images, subjects), figures in found.items() if subjects == min(found)[1]}
    (fewest, small), *larger = sorted(by_images.items())
    for images, figures in larger:
        rate = {name: figures[name] / images / (small[name] / fewest) for name in names[1:3]}
        targets += [
            Target(f"{name}, {images:,} images: to those of {fewest:,}, an image", value, at_most=1 + LINEAR_WITHIN)
            for name, value in rate.items()
        ]
        grown = figures["peak_own_bytes"] / small["peak_own_bytes"]
        targets.append(Target(f"memory, {images:,} images, to that of {fewest:,}", grown, at_most=1 + FLAT_WITHIN))
    title = "One epoch of each stage, batches of 32, EdgeFace-XXS, bicubic"
    return Outcome(
        [Table(title, columns, rows)], targets, {"cases": {f"{i}x{s}": each for (i, s), each in found.items()}}
    )


if __name__ == "__main__":
    sys.exit(main())
