"""`edgeface-finetune compile`: compile a backbone for the trainings of this machine's GPU."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

import click

if TYPE_CHECKING:
    from app.finetune.checked_copy import CheckedCopy
    from app.finetune.config import FinetuneConfig
    from worker.cli.compile_backbone import Compiled


@click.command("compile")
@click.argument("config", type=click.File("rb"))
def compile_network(config: BinaryIO) -> None:
    """Compile the backbone for trainings like the one that the JSON file CONFIG describes (`-` reads standard input).

    Trainings on this machine's GPU use it if EDGEFACE_COMPILE is true, the network, the GPU's number, the precision and
    the batch size are the same, and the stage is long enough. Exit status 1: there is no GPU, or the compiled backbone
    is not to be used.
    """
    from app.finetune.checked_copy import copy_of
    from app.finetune.config import FinetuneConfig
    from app.settings import Settings
    from worker.cli.named_files import find_named_files
    from worker.cli.options import validated_json

    asked = validated_json(FinetuneConfig, config)
    named, settings = find_named_files(asked), Settings()
    from worker.training.runtime.device import choose_device, choose_precision

    device = choose_device(asked.device)
    if device.type != "cuda":
        _give_up(f"compiling serves GPUs only, and this training runs on the CPU (device: {asked.device})")
    if choose_precision(asked.mixed_precision, device).scaled:
        _give_up('fp16 trains without CUDA graphs, and nothing is compiled for it: set "mixed_precision" to "off"')
    click.echo(f"compiles for batches of {asked.batch_size} on {device}, which takes a minute or more")
    edgeface = copy_of(named.copies, named.edgeface)
    first = _in_a_new_process(asked, edgeface, settings.compiled_dir)
    click.echo(f"compiled in {first.seconds:.1f} s: {first.differences}")
    if not first.is_right:
        _give_up("the compiled backbone rounds worse than the uncompiled one: trainings will not use it")
    again = _in_a_new_process(asked, edgeface, settings.compiled_dir)
    if again.cold:
        _give_up("a second process had to compile it again: the compiler does not keep all of this network")
    again.mark_whole()
    click.echo(f"a second process loaded it in {again.seconds:.1f} s from {again.folder}")
    if not settings.compile:
        click.echo("trainings use it once the worker runs with EDGEFACE_COMPILE=true")


def _in_a_new_process(config: "FinetuneConfig", edgeface: "CheckedCopy | Path", compiled_dir: Path) -> "Compiled":
    """A process that has compiled something keeps it in memory, and would not show what the files are worth."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    from worker.cli.compile_backbone import compile_backbone

    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(compile_backbone, config, edgeface, compiled_dir).result()


def _give_up(reason: str) -> NoReturn:
    click.echo(f"error: {reason}", err=True)
    sys.exit(1)
