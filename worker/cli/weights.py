"""`edgeface-finetune weights`: download the official EdgeFace weights or write untrained ones."""

import hashlib
import socket
from pathlib import Path
from urllib.parse import urlsplit

import click

from app.finetune.architectures import EDGEFACE_VARIANTS

OFFICIAL_REPOSITORY = "Idiap/EdgeFace-XXS"
OFFICIAL_REVISION = "e710f4647ac4dde011c13f82224539d24800ab92"
OFFICIAL_FILE = "edgeface_xxs.pt"
OFFICIAL_SHA256 = "5b6bac48ea660aca185be8a8ac934db2093b51259461721da53c468230bc24c9"


@click.group()
def weights() -> None:
    """Download or create EdgeFace weights."""


@weights.command()
@click.option("--output", type=click.Path(path_type=Path), help="Default: edgeface_xxs.pt in the weights root.")
def fetch(output: Path | None) -> None:
    """Download the official EdgeFace-XXS (CC BY-NC-SA 4.0) from the Hugging Face hub and check its sha256."""
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import HfHubHTTPError

    from app.artifacts import copy_whole
    from app.settings import Settings

    cached = try_to_load_from_cache(OFFICIAL_REPOSITORY, OFFICIAL_FILE, revision=OFFICIAL_REVISION)
    try:
        if not isinstance(cached, str):
            _refuse_without_network(constants.ENDPOINT)
            cached = hf_hub_download(OFFICIAL_REPOSITORY, OFFICIAL_FILE, revision=OFFICIAL_REVISION)
    except (OSError, HfHubHTTPError, ValueError) as error:
        raise click.ClickException(f"cannot fetch {OFFICIAL_REPOSITORY}/{OFFICIAL_FILE}: {error}") from None
    digest = hashlib.sha256(Path(cached).read_bytes()).hexdigest()
    if digest != OFFICIAL_SHA256:
        raise click.ClickException(f"{cached} has sha256 {digest}, not {OFFICIAL_SHA256}: delete it and fetch again")
    click.echo(copy_whole(Path(cached), output or Settings().weights_dir / OFFICIAL_FILE))


@weights.command()
@click.option("--output", type=click.Path(path_type=Path), required=True)
@click.option("--variant", type=click.Choice(sorted(EDGEFACE_VARIANTS)), default="edgeface_xxs", show_default=True)
@click.option("--seed", default=42, show_default=True)
def untrained(output: Path, variant: str, seed: int) -> None:
    """Write an untrained backbone, for trials without the official weights. It recognises nobody."""
    import torch

    from worker.training.models.edgeface import new_edgeface

    output.parent.mkdir(parents=True, exist_ok=True)
    torch.save(new_edgeface(variant, seed).state_dict(), output)
    click.echo(output)


def _refuse_without_network(endpoint: str) -> None:
    """Raise OSError if the hub's name does not resolve, for which its client would try 25 s. A proxy resolves names
    itself."""
    from urllib.request import getproxies

    if not getproxies():
        try:
            socket.getaddrinfo(urlsplit(endpoint).hostname, 443)
        except socket.gaierror as error:
            raise OSError(f"{endpoint} cannot be reached: {error.strerror}") from None
