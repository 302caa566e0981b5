"""Sends a file or a folder to a service, and shows how far it is."""

import time
from pathlib import Path

from humanize import naturalsize
from rich.console import Console

from app.api_models.uploads import UploadView
from app.cli.live_progress import LiveProgress
from app.client import Client
from app.finetune.errors import printable

PATIENCE_SECONDS = 300.0
"""Without a byte that the service takes: long enough for a service or a network that starts anew."""


def connect_to_send(url: str) -> Client:
    return Client(url, patience_seconds=PATIENCE_SECONDS)


def send(client: Client, path: Path) -> UploadView:
    """Return the upload once it is whole. The progress is on stderr. Raises as `Client.upload`."""
    began_at: float | None = None
    at_first = 0
    where = f"sending {printable(path.name)}"

    def show(sent: int, length: int) -> None:
        nonlocal began_at, at_first
        now = time.monotonic()
        if began_at is None:
            began_at, at_first = now, sent
            if sent:
                live.print(f"going on: the service has {naturalsize(sent)} of {naturalsize(length)}")
        pace = (sent - at_first) / (now - began_at) if now > began_at else 0.0
        live.update(where, sent / length if length else 1.0, (length - sent) / pace if pace else None)

    with LiveProgress(Console(stderr=True), where) as live:
        return client.upload(path, on_progress=show)
