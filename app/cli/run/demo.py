"""Runs a job through the real service, from faces to a checkpoint loaded in plain PyTorch."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import httpx2
from rich.console import Console

from app.api_models.job import JobView
from app.api_models.job_status import JobStatus
from app.checked_weights.check import check_weights
from app.cli.event_lines import recognition_line
from app.cli.live import watch_job
from app.client import Client
from app.dataset_build import build_dataset
from app.drawn_faces import write_drawn_faces
from app.finetune.architectures import EDGEFACE_VARIANTS

PLAIN_PYTORCH = """\
import sys, timm, torch
checkpoint = torch.load(sys.argv[1], weights_only=True)
backbone = timm.create_model("edgenext_xx_small", num_classes=512)
weights = checkpoint["backbone_state_dict"]
backbone.load_state_dict({key.removeprefix("model."): value for key, value in weights.items()}, strict=True)
embedding = torch.nn.functional.normalize(backbone.eval()(torch.zeros(1, 3, 112, 112)))
print("keys:", ", ".join(checkpoint))
print("embedding:", tuple(embedding.shape), "norm", round(embedding.norm().item(), 4))
"""

START_SECONDS = 120.0
_MARKER = ".made-by-edgeface-finetune-demo"
DRAWN_LABEL = "DRAWN FACES, UNTRAINED BACKBONE: this demonstrates the service; the recognition figures mean nothing"


@dataclass(frozen=True)
class _Source:
    """Faces and weights of the demo. `label` is printed with every result if they are not real."""

    faces: Path
    weights: Path
    label: str | None


def run_demo(faces: Path | None, weights: Path | None, vlr_size: int, var_dir: Path) -> None:
    """Run a job through the real service and print the recognition before and after."""
    console = Console(highlight=False, soft_wrap=True)
    _make_empty(var_dir, [path for path in (faces, weights) if path is not None])
    source = _find_source(console, faces, weights, var_dir)
    _say(console, f"1. Building a dataset from {source.faces}, VLR {vlr_size} px", source)
    built = build_dataset(
        source.faces, var_dir / "datasets" / "demo", vlr_size=vlr_size, val_fraction=0.25, test_fraction=0
    )
    console.print(f"   {built}, who are other people")
    with _service(var_dir) as url, Client(url) as client:
        _say(console, f"2. The service runs on {url}; submitting", source)
        config = {
            "dataset": "demo",
            "edgeface": source.weights.name,
            "stage1_epochs": 5,
            "stage2_epochs": 15,
            "backbone_lr": 1e-4,
        }
        console.print(f"   POST /jobs {config}")
        job = client.submit(config)
        _say(console, f"3. Job {job.id}", source)
        job = watch_job(client, job.id, console)
        if job.status is not JobStatus.SUCCEEDED:
            raise click.ClickException(f"the job {job.status}; the service's log is {var_dir / 'serve.log'}")
        file = client.download(job.id, var_dir / "edgeface_finetuned.pth")
    _say(console, f"4. Downloaded {file}; loading it with plain PyTorch", source)
    _load_in_plain_pytorch(console, file)
    _show_result(console, job, source)


def _make_empty(var_dir: Path, inputs: list[Path]) -> None:
    """Remove the folder of the last demo. Refuse any other folder."""
    marker = var_dir / _MARKER
    for path in inputs:
        if path.resolve().is_relative_to(var_dir.resolve()):
            raise click.UsageError(f"{path} is in {var_dir}, which the demo empties: copy it elsewhere first")
    if var_dir.exists() and any(var_dir.iterdir()) and not marker.is_file():
        raise click.UsageError(f"{var_dir} is not empty and not from an earlier demo: use another --var-dir")
    shutil.rmtree(var_dir, ignore_errors=True)
    var_dir.mkdir(parents=True)
    marker.touch()


def _find_source(console: Console, faces: Path | None, weights: Path | None, var_dir: Path) -> _Source:
    weights_dir = var_dir / "weights"
    weights_dir.mkdir()
    label = None
    if weights is not None:
        _refuse_other_variant(weights)
        shutil.copy(weights, weights_dir / weights.name)
        found = weights_dir / weights.name
    else:
        found = weights_dir / "edgeface_xxs.pt"
        console.print("Fetching the official EdgeFace-XXS weights ...")
        fetched = _run_cli("weights", "fetch", "--output", str(found))
        if fetched.returncode != 0:
            reason = (fetched.stderr.strip() or "no reason given").splitlines()[-1].removeprefix("Error: ")
            console.print(f"The download failed ({reason}).")
            console.print("The demo continues with an untrained backbone; --weights FILE uses real weights.")
            found = weights_dir / "untrained_xxs.pt"
            _run_cli("weights", "untrained", "--output", str(found)).check_returncode()
            label = "UNTRAINED BACKBONE"
    if faces is None:
        faces = var_dir / "drawn_faces"
        write_drawn_faces(faces, subjects=24, images_per_subject=8, seed=42)
        label = DRAWN_LABEL if label else "DRAWN FACES"
    return _Source(faces, found, label)


def _refuse_other_variant(weights: Path) -> None:
    network = check_weights(weights, "EdgeFace").network
    variant = None if network is None else EDGEFACE_VARIANTS[network]
    if variant is None or variant.timm_name != "edgenext_xx_small":
        raise click.UsageError(f"{weights} is not EdgeFace-XXS, which the demo needs; the service takes other variants")


def _run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "app.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own command


@contextlib.contextmanager
def _service(var_dir: Path) -> Iterator[str]:
    """Run `edgeface-finetune serve` on a free port with its log in var_dir, and stop it at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE_")}
    environment["EDGEFACE_VAR_DIR"] = str(var_dir)
    with (var_dir / "serve.log").open("w") as log:
        serve = subprocess.Popen(  # noqa: S603 - our own command
            [sys.executable, "-m", "app.cli", "serve", "--port", str(port)],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, serve, var_dir / "serve.log")
            yield url
        finally:
            serve.send_signal(signal.SIGTERM)
            serve.wait()


def _wait_until_ready(url: str, serve: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with Client(url) as client:
        while time.monotonic() < deadline and serve.poll() is None:
            with contextlib.suppress(httpx2.TransportError):
                if client.ready().ready:
                    return
            time.sleep(0.1)
    raise click.ClickException(f"the service does not start; see {log}")


def _load_in_plain_pytorch(console: Console, file: Path) -> None:
    for line in PLAIN_PYTORCH.splitlines():
        console.print(f"   >>> {line}", markup=False)
    loaded = subprocess.run(  # noqa: S603 - the lines just shown
        [sys.executable, "-c", PLAIN_PYTORCH, str(file)], capture_output=True, text=True, check=True
    )
    for line in loaded.stdout.splitlines():
        console.print(f"   {line}", markup=False)


def _show_result(console: Console, job: JobView, source: _Source) -> None:
    _say(console, "5. Recognition of val's subjects, VLR probes against the HR gallery", source)
    before, after = job.recognition.before, job.recognition.after
    if before is not None and after is not None:
        console.print(f"   before: {recognition_line(before)}")
        console.print(f"   after:  {recognition_line(after)}")
    console.print(f"   {job.recognition.verdict}")


def _say(console: Console, heading: str, source: _Source) -> None:
    console.print(heading if source.label is None else f"{heading}  [{source.label}]", markup=False)
