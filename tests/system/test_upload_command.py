"""`edgeface-finetune upload` as a process that is killed, against an API that is killed."""

import os
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.servers import free_port
from tests.system.api_process import api
from tests.system.conftest import command, wait_until

pytestmark = pytest.mark.slow

_MIB = 2**20
FILES, FILE_BYTES = 40, 8 * _MIB
MOST_MEMORY_MIB = 200
SECONDS = 240.0


def start(folder: Path, port: int, home: Path) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EDGEFACE_")}
    environment |= {"XDG_STATE_HOME": str(home), "EDGEFACE_URL": f"http://127.0.0.1:{port}"}
    return subprocess.Popen(
        command("upload", str(folder)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def peak_memory(process: subprocess.Popen[bytes]) -> float:
    """MiB since its program began; 0 for one that has ended."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    kibibytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")]
    return int(kibibytes[0]) / 1024 if kibibytes else 0.0


def received(var_dir: Path) -> int:
    """Bytes of the only upload."""
    files = [path for path in (var_dir / "uploads" / "incoming").glob("*") if path.suffix == ""]
    assert len(files) <= 1
    return sum(path.stat().st_size for path in files)


@pytest.fixture
def commands() -> Iterator[ExitStack]:
    """Ends the commands that a test leaves."""
    with ExitStack() as stack:
        yield stack


def test_an_upload_goes_on_after_the_command_and_the_api_were_killed(tmp_path: Path, commands: ExitStack) -> None:
    folder, var_dir, port = tmp_path / "faces", tmp_path / "var", free_port()
    (folder / "anna").mkdir(parents=True)
    for number in range(FILES):
        (folder / "anna" / f"{number:02}.png").write_bytes(os.urandom(FILE_BYTES))
    with api(var_dir, port):
        first = commands.enter_context(start(folder, port, tmp_path))
        wait_until(lambda: received(var_dir) > 20 * _MIB, SECONDS)
        first.kill()
        first.wait()
        came = received(var_dir)
        second = commands.enter_context(start(folder, port, tmp_path))
        commands.callback(second.kill)
        wait_until(lambda: received(var_dir) > came + 20 * _MIB, SECONDS)
    assert received(var_dir) < FILES * FILE_BYTES  # it was killed in the middle
    with api(var_dir, port):
        assert second.stdout is not None
        assert second.stderr is not None
        peaks: list[float] = []

        def has_ended() -> bool:
            peaks.append(peak_memory(second))
            return second.poll() is not None

        wait_until(has_ended, SECONDS)
        printed, log = second.stdout.read().decode(), second.stderr.read().decode()
        assert second.returncode == 0, log
        assert "going on: the service has" in log
        assert 0 < max(peaks) < MOST_MEMORY_MIB
        file = var_dir / "uploads" / "incoming" / printed.strip()
        with tarfile.open(file) as archive:
            for member in archive:
                read = archive.extractfile(member)
                assert read is not None
                assert read.read() == (folder / member.name).read_bytes()
            assert len(archive.getmembers()) == FILES
