"""Runs API and worker together, as two processes under this one."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any

import click

from app.cli.run.listening import address_in_url, open_for_callers, settings_of
from app.exit_status import CANNOT_START
from app.logs import LogSetup, configure_logging
from app.parent_process import PARENT_PIPE
from app.private_files import make_private_files
from app.settings import Settings
from app.shown_roots import shown_paths
from app.startup import check_address, only_serve, prepare_folders

_PASSED_ON = ("host", "port", "insecure", "tls_cert", "tls_key", "forwarded_allow_ips", "log_format")
"""Settings that options change."""

STOP_SECONDS = 20.0
MINIMUM_UP_SECONDS = 5.0
"""A process that ends sooner cannot be fixed by restarting it."""


def start_service(options: dict[str, Any], *, create_first_key: bool) -> None:
    """Run both processes with the options of the command in place of their settings."""
    make_private_files()
    settings = settings_of(options)
    prepare_folders(settings, trains=True)
    with only_serve(settings.var_dir):
        check_address(settings.host, settings.port)
        open_for_callers(settings, create_first_key=create_first_key)
        _serve(settings, _Say(settings))


def _serve(settings: Settings, say: "_Say") -> None:
    environment = os.environ | _as_variables(settings, _PASSED_ON) | {PARENT_PIPE: "1"}
    say(
        f"edgeface-finetune on {address_in_url(settings)} (/docs describes it)\n  files {settings.var_dir}\n"
        f"  datasets {settings.datasets_dir}\n  weights {settings.weights_dir}"
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
        failed = _start_again(children, started_at, environment, say)
    for child in children.values():
        child.terminate()
    for child in children.values():
        try:
            child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if failed is not None:
        status = children[failed].returncode
        if status != CANNOT_START:  # which the process has explained
            say(f"error: the {failed} ended with exit code {status}; see above", logging.ERROR)
        sys.exit(status if status == CANNOT_START else 1)


class _Say:
    """Prints for people, or logs where the log is JSON: then each line on stderr is an object."""

    def __init__(self, settings: Settings) -> None:
        self._log = logging.getLogger(__name__) if settings.log_format == "json" else None
        if self._log is not None:
            configure_logging(LogSetup("serve", settings.log_format, shown_paths(settings)))

    def __call__(self, text: str, level: int = logging.INFO) -> None:
        if self._log is None:
            click.echo(text, err=True)
        else:
            self._log.log(level, "%s", text)


def _as_variables(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """Return the settings as the variables that a process of the service reads."""
    values = {name: getattr(settings, name) for name in names}
    return {f"EDGEFACE_{name.upper()}": "" if value is None else str(value) for name, value in values.items()}


def _start_again(
    children: dict[str, subprocess.Popen[bytes]], started_at: dict[str, float], environment: dict[str, str], say: "_Say"
) -> str | None:
    """Restart a process that has ended. Return the name of one that ends right after its start."""
    for name, child in children.items():
        if child.poll() is None:
            continue
        if child.returncode == CANNOT_START or time.monotonic() - started_at[name] < MINIMUM_UP_SECONDS:
            return name
        say(f"the {name} ended with exit code {child.returncode}; restarting it", logging.ERROR)
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
