"""Runs the blocks of a page in one shell, in a folder like a fresh clone, as a reader does who follows the page."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx2

from tests.support.documents import Block
from tests.support.servers import free_port
from tests.system.conftest import START_SECONDS, STOP_SECONDS, wait_until

DOCUMENTED_PORT = 8000
DOCUMENTED_FOLDER = "/home/me/edgeface-finetune"
_SERVE = re.compile(r"^((?:\w+=\S+ )*\S*edgeface-finetune serve)\s*$", re.MULTILINE)
_FETCH = re.compile(r"^\S*edgeface-finetune weights fetch\s*$", re.MULTILINE)


@dataclass
class Walkthrough:
    """A shell in `folder`, which has no more than `.venv`.

    `weights` are copied where a page downloads them, and `serve` runs in the background on a free port.
    """

    folder: Path
    weights: Path
    port: int = field(default_factory=free_port)
    services: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / ".venv").symlink_to(sys.prefix)
        self.shell: subprocess.Popen[str] = subprocess.Popen(
            ["/bin/bash", "--noprofile", "--norc"],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, block: Block) -> tuple[str, int]:
        """Run a block of sh or python. Returns what it printed, and the exit status of its last command."""
        if block.language == "python":
            return self._run_in_shell(f".venv/bin/python - <<'END_OF_BLOCK'\n{block.text}END_OF_BLOCK\n")
        text = _FETCH.sub(self._copy_weights(), self._on_own_port(block.text))
        if (serve := _SERVE.search(text)) is None:
            return self._run_in_shell(text)
        printed, _ = self._run_in_shell(text[: serve.start()])
        return printed + self._serve(serve[1]), 0

    def close(self) -> None:
        for service in self.services:
            service.terminate()
        for service in self.services:
            service.wait(STOP_SECONDS)
        pipes: list[IO[str] | None] = [self.shell.stdin, self.shell.stdout]
        for pipe in pipes:
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self.shell.terminate()
        self.shell.wait(STOP_SECONDS)

    def _run_in_shell(self, text: str) -> tuple[str, int]:
        script = self.folder / ".block.sh"
        script.write_text(text)
        assert self.shell.stdin is not None
        assert self.shell.stdout is not None
        self.shell.stdin.write(f". {script} </dev/null; printf '\\n\\1%s\\n' $?\n")
        self.shell.stdin.flush()
        printed = ""
        for line in self.shell.stdout:
            if line.startswith("\1"):
                return self._as_documented(printed), int(line[1:])
            printed += line
        raise AssertionError(f"the shell ended:\n{printed}")

    def _serve(self, command: str) -> str:
        """Start `serve` as the page does, in another terminal. Returns what it prints until it is ready."""
        for service in self.services:
            service.terminate()
            service.wait(STOP_SECONDS)
        self.services.clear()
        log = self.folder / "serve.log"
        with log.open("w") as output:
            service = subprocess.Popen(
                ["/bin/bash", "-c", f". .venv/bin/activate; exec env {command}"],
                cwd=self.folder,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.services.append(service)
        wait_until(self._is_ready, START_SECONDS, log.read_text)
        return self._as_documented(log.read_text())

    def _is_ready(self) -> bool:
        assert all(service.poll() is None for service in self.services)
        with contextlib.suppress(httpx2.TransportError):
            return httpx2.get(f"http://127.0.0.1:{self.port}/health/ready").status_code == 200
        return False

    def _on_own_port(self, text: str) -> str:
        return text.replace(f"localhost:{DOCUMENTED_PORT}", f"localhost:{self.port}")

    def _as_documented(self, printed: str) -> str:
        printed = printed.replace(str(self.folder), DOCUMENTED_FOLDER)
        return re.sub(rf"\b{self.port}\b", str(DOCUMENTED_PORT), printed)

    def _copy_weights(self) -> str:
        target = self.folder / "var" / "weights" / "edgeface_xxs.pt"
        return f"mkdir -p {target.parent} && cp {self.weights} {target} && echo {target}"

    def _environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE_")}
        own = {"EDGEFACE_PORT": str(self.port), "EDGEFACE_URL": f"http://localhost:{self.port}"}
        # As people run it: the tests' own processes take one core each.
        return inherited | own | {"OMP_NUM_THREADS": str(os.cpu_count()), "PS1": ""}


@contextlib.contextmanager
def walk_through(folder: Path, weights: Path) -> Iterator[Walkthrough]:
    walkthrough = Walkthrough(folder, weights)
    try:
        yield walkthrough
    finally:
        walkthrough.close()
