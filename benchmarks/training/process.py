"""Runs one peer's training in a child process: `python -m benchmarks.training.process PEER INPUTS CONFIG`."""

import json
import os
import subprocess
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path

from app.finetune.config import FinetuneConfig
from benchmarks.training.data import Inputs
from benchmarks.training.outcome import Trained

PEERS = {
    "guide": ("benchmarks.training.plain", "train"),
    "careful": ("benchmarks.training.careful", "train"),
    "careful, channels_last": ("benchmarks.training.careful", "train_channels_last"),
    "fabric": ("benchmarks.training.fabric", "train"),
    "ours": ("benchmarks.training.ours", "train"),
    "ceiling": ("benchmarks.training.ours", "ceiling"),
}


def train(peer: str, inputs: Inputs, checkout: Path | None = None) -> Trained:
    """Train in a child process, by the code of a `checkout` if there is one. Peers use PyTorch's default settings, ours
    those of a job's trainer process."""
    command = [sys.executable, "-m", "benchmarks.training.process"]
    arguments = [peer, str(inputs.folder), inputs.config.model_dump_json(exclude_unset=True)]
    environment = os.environ if checkout is None else os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run([*command, *arguments], stdout=subprocess.PIPE, check=True, cwd=checkout, env=environment)
    return Trained(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    peer, folder, config = sys.argv[1:]
    if peer in ("ours", "ceiling"):
        from worker.process.allocator import keep_freed_memory
        from worker.process.openmp import let_waiting_threads_sleep

        let_waiting_threads_sleep()
        keep_freed_memory()
    warnings.simplefilter("ignore")
    module, function = PEERS[peer]
    run = getattr(import_module(module), function)  # imports are not timed
    with tempfile.TemporaryDirectory(prefix="edgeface-benchmark-") as output:
        trained: Trained = run(Inputs(Path(folder), FinetuneConfig.model_validate_json(config)), Path(output))
    trained.print_json()


if __name__ == "__main__":
    main()
