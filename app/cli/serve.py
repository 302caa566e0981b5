"""`edgeface-finetune serve`: API and worker together, as two processes under this one."""

import os
import signal
import subprocess
import sys
import threading
import time
from types import FrameType

import click

from app.parent_process import PARENT_PIPE
from app.settings import Settings

STOP_SECONDS = 20.0
MINIMUM_UP_SECONDS = 5.0
"""A process that ends sooner cannot be fixed by restarting it."""


@click.command()
@click.option("--host", help="Address to listen on. Default: EDGEFACE_HOST, or 127.0.0.1.")
@click.option("--port", type=int, help="Port to listen on. Default: EDGEFACE_PORT, or 8000.")
def serve(host: str | None, port: int | None) -> None:
    """Run API and worker together on this machine. Ctrl-C ends both."""
    settings = Settings()
    environment = os.environ | {
        "EDGEFACE_HOST": host or settings.host,
        "EDGEFACE_PORT": str(settings.port if port is None else port),
        PARENT_PIPE: "1",
    }
    click.echo(
        f"edgeface-finetune on http://{environment['EDGEFACE_HOST']}:{environment['EDGEFACE_PORT']} (/docs describes "
        f"it)\n  files {settings.var_dir}\n  datasets {settings.datasets_dir}\n  weights {settings.weights_dir}",
        err=True,
    )
    stopped = threading.Event()
    children = {name: _start(name, environment) for name in ("api", "worker")}
    started_at = dict.fromkeys(children, time.monotonic())

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    failed = None
    while failed is None and not stopped.wait(0.2):
        failed = _start_again(children, started_at, environment)
    for child in children.values():
        child.terminate()
    for child in children.values():
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if failed is not None:
        click.echo(f"error: the {failed} ended with exit code {children[failed].returncode}; see above", err=True)
        sys.exit(1)


def _start_again(
    children: dict[str, subprocess.Popen[bytes]], started_at: dict[str, float], environment: dict[str, str]
) -> str | None:
    """Restart a process that has ended. Return the name of one that ends right after its start."""
    for name, child in children.items():
        if child.poll() is None:
            continue
        if time.monotonic() - started_at[name] < MINIMUM_UP_SECONDS:
            return name
        click.echo(f"the {name} ended with exit code {child.returncode}; restarting it", err=True)
        children[name] = _start(name, environment)
        started_at[name] = time.monotonic()
    return None


def _start(command: str, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    # A session of its own, so that the terminal's Ctrl-C reaches the parent alone and it ends both in order.
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "app.cli", command],
        env=environment,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
