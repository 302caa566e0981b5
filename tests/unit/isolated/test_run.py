"""A task in a child of its own: what it may do, what ends it, and what the caller gets."""

import os
import select
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.finetune.errors import EdgefaceError
from app.finetune.weights_errors import WeightsUnsafe
from app.isolated.errors import (
    AnswersTooMuch,
    NeedsTooMuchMemory,
    ReadCancelled,
    ReaderCrashed,
    ReadersBusy,
    ReadersUnavailable,
    TakesTooLong,
    WritesTooMuch,
)
from app.isolated.run import run
from tests.support.isolated_tasks import ACT, LIMITS, Act

SECRETS = ("EDGEFACE_DATABASE_URL", "EDGEFACE_BROKER_URL")
FORBIDDEN = {"torch", "sqlalchemy", "sqlmodel", "fastapi", "celery"}
DEAD_WITHIN_MS = 30_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    path.write_text("content")
    return path


def act(path: Path, what: str) -> list[str]:
    return run(ACT, Act(path=path, act=what)).said


def wait_for_end(process: int) -> None:
    """Wait until the process, of which this is the descriptor, has ended."""
    ended = select.poll()
    ended.register(process, select.POLLIN)
    assert ended.poll(DEAD_WITHIN_MS)
    os.close(process)


class Seen:
    """Takes the process id that a task says by its progress, and lets the caller wait for it."""

    def __init__(self) -> None:
        self.came = threading.Event()
        self.process = -1

    def __call__(self, pid: int, _: int) -> None:
        self.process = os.pidfd_open(pid)
        self.came.set()


def test_the_result_has_its_type_and_a_name_may_have_any_bytes(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9 \xf0\x9f\x98\x80\n.pt")
    path.write_text("content")
    assert act(path, "name") == [ascii(path.name), "content"]


def test_a_child_has_no_secret_no_database_and_no_file_of_the_service(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "secret")
    descriptors, environment, modules, leads_its_group = act(file, "surroundings")
    assert len(descriptors.split("|")) == 1, "its connection"
    assert not {name for name in environment.split("|") if name.startswith("EDGEFACE_")}
    assert not FORBIDDEN & set(modules.split("|"))
    assert leads_its_group == "True"
    assert act(file, "limits") == [str(LIMITS.open_files), "0"]


def test_an_error_of_the_task_comes_as_it_was_raised(file: Path) -> None:
    with pytest.raises(WeightsUnsafe, match=r"contains the pickled object os\.system") as refused:
        act(file, "refuse")
    assert "save only the state dict" in refused.value.hint


@pytest.mark.parametrize(
    ("what", "error", "said"),
    [
        ("take_memory", NeedsTooMuchMemory, "needs more than 64 MiB of memory"),
        ("say_much", AnswersTooMuch, "takes more than 64 KiB to describe"),
        ("crash", ReaderCrashed, "SIGSEGV"),
        ("fail", ReaderCrashed, "KeyError"),
    ],
)
def test_what_ends_a_child_is_an_error_that_names_the_file(
    what: str, error: type[EdgefaceError], said: str, file: Path
) -> None:
    with pytest.raises(error) as ended:
        act(file, what)
    assert said in ended.value.message
    assert str(file) in ended.value.message


def test_a_file_that_takes_too_long_is_left(file: Path) -> None:
    seen = Seen()
    with pytest.raises(TakesTooLong, match=r"weights\.pt took longer than 0\.2 s"):
        run(ACT, Act(path=file, act="sleep"), limits=LIMITS.model_copy(update={"wall_seconds": 0.2}), on_progress=seen)
    wait_for_end(seen.process)


@pytest.mark.slow
def test_computing_time_is_limited_beside_waiting_time(file: Path) -> None:
    with pytest.raises(TakesTooLong, match="took longer than 1 s"):
        run(ACT, Act(path=file, act="loop"), limits=LIMITS.model_copy(update={"cpu_seconds": 1}))


def test_no_file_becomes_larger_than_the_limit(file: Path, tmp_path: Path) -> None:
    output = tmp_path / "output"
    with pytest.raises(WritesTooMuch, match=r"unpacks to a file of more than 4 KiB"):
        run(ACT, Act(path=file, act="write", output=str(output)))
    assert output.stat().st_size <= LIMITS.written_file_bytes


@pytest.mark.parametrize("what", ["sleep", "start_another"])
def test_a_cancelled_caller_leaves_no_process(what: str, file: Path) -> None:
    seen = Seen()
    with pytest.raises(ReadCancelled):
        run(ACT, Act(path=file, act=what), on_progress=seen, cancelled=seen.came.is_set)
    wait_for_end(seen.process)


CALLER = """
import os, sys
from pathlib import Path
from app.isolated.run import run
from tests.support.isolated_tasks import ACT, Act
run(ACT, Act(path=Path("file"), act="sleep"), on_progress=lambda pid, _: print(pid, flush=True))
"""


def test_a_child_dies_with_the_process_that_asked() -> None:
    caller = subprocess.Popen(
        [sys.executable, "-c", CALLER], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert caller.stdout is not None
    with caller.stdout:
        child = os.pidfd_open(int(caller.stdout.readline()))
        caller.kill()
        caller.wait()
    wait_for_end(child)


def test_so_many_at_once_and_the_next_is_told(file: Path) -> None:
    stop = threading.Event()
    seen = [Seen() for _ in range(ACT.at_once)]
    with ThreadPoolExecutor() as threads:
        waiting = [
            threads.submit(run, ACT, Act(path=file, act="sleep"), on_progress=each, cancelled=stop.is_set)
            for each in seen
        ]
        for each in seen:
            assert each.came.wait(30)
        with pytest.raises(ReadersBusy, match=r"weights\.pt was not read: 2 files"):
            run(ACT, Act(path=file, act="name"), limits=LIMITS.model_copy(update={"wall_seconds": 0.1}))
        stop.set()
        for future in waiting:
            with pytest.raises(ReadCancelled):
                future.result()
    assert act(file, "name")[1] == "content"


def test_a_killed_server_takes_its_children_with_it_and_is_replaced(file: Path) -> None:
    def kill_parent(pid: int, _: int) -> None:
        status = Path(f"/proc/{pid}/status").read_text()
        parent = int(status.split("PPid:")[1].split()[0])
        seen(pid, 0)
        os.kill(parent, signal.SIGKILL)

    seen = Seen()
    with pytest.raises(ReadersUnavailable, match="cannot be read at the moment"):
        run(ACT, Act(path=file, act="sleep"), on_progress=kill_parent)
    wait_for_end(seen.process)
    assert act(file, "name")[1] == "content"
