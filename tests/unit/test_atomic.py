"""Every user of app/finetune/atomic.py: what is on the disk after a kill, and in which order it got there."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.drawn_faces import write_drawn_faces
from app.inputs.names import list_datasets

# Arguments: the user, the folder, and the event to be killed at. Prints the calls that order the write.
_WRITE = """
import contextlib, http.server, json, os, signal, sqlite3, sys, threading
from pathlib import Path

user, folder, kill_at = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
target = folder / "target"


def write():
    if user == "training":
        from worker.training.runtime.control import Control
        from worker.training.storage.atomic import write_bytes_whole
        return lambda: write_bytes_whole(target, b"new", Control())
    if user == "copy":
        from app.artifacts import copy_whole
        (folder / "source").write_bytes(b"new")
        return lambda: copy_whole(folder / "source", target)
    if user == "backup":
        from app.backup import back_up
        with contextlib.closing(sqlite3.connect(folder / "source")) as database:
            database.execute("CREATE TABLE jobs (id)")
        return lambda: back_up(f"sqlite:///{folder / 'source'}", target, force=True)
    if user == "dataset":
        from app.dataset_build import build_dataset
        return lambda: build_dataset(folder / "faces", target)
    from app.client import Client
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = Client(f"http://127.0.0.1:{server.server_port}")
    return lambda: client.download("0" * 24, target)


class Files(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("ETag", '"11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"')  # of b"new"
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"new")

    def log_message(self, *_):
        pass


calls = []
fsync, sync = os.fsync, os.sync


def record(call, path):
    name = Path(path).name
    if Path(path) == folder or name.startswith((".target.", "target")):
        calls.append(f"{call} {'partial' if name.endswith('.partial') else name if name == 'target' else 'folder'}")


def recorded_fsync(descriptor):
    record("sync", os.readlink(f"/proc/self/fd/{descriptor}"))
    fsync(descriptor)


def recorded_sync():
    calls.append("sync partial")
    sync()


def on_event(event, arguments):
    if event == "os.rename" and Path(os.fsdecode(arguments[1])) == target:
        if kill_at == "rename":
            os.kill(os.getpid(), signal.SIGKILL)
        record("rename to", arguments[1])


run = write()
os.fsync, os.sync = recorded_fsync, recorded_sync
sys.addaudithook(on_event)
run()
print(json.dumps(calls))
"""
USERS = ["training", "copy", "backup", "dataset", "client"]


def written(user: str, folder: Path, kill_at: str = "") -> "subprocess.CompletedProcess[str]":
    if user == "dataset":
        write_drawn_faces(folder / "faces", subjects=4, images_per_subject=2, seed=1)
    return subprocess.run(
        [sys.executable, "-c", _WRITE, user, str(folder), kill_at], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("user", USERS)
def test_a_killed_process_leaves_nothing_new_under_the_final_name(user: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    if user != "dataset":  # the only one that refuses to replace
        target.write_bytes(b"old")
    done = written(user, tmp_path, kill_at="rename")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (target.read_bytes() == b"old") if user != "dataset" else not target.exists()
    (left,) = tmp_path.glob(".target.*")
    assert left.name.endswith(".partial")
    assert not list_datasets(tmp_path)


@pytest.mark.parametrize("user", USERS)
def test_the_content_is_on_the_disk_before_it_gets_its_name(user: str, tmp_path: Path) -> None:
    done = written(user, tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["sync partial", "rename to target", "sync folder"]
    assert not list(tmp_path.glob(".target.*"))
    if user in ("training", "copy", "client"):
        assert (tmp_path / "target").read_bytes() == b"new"
        (tmp_path / "plain").touch()
        assert (tmp_path / "target").stat().st_mode == (tmp_path / "plain").stat().st_mode, "the mode of any new file"
    if user == "dataset":
        assert list_datasets(tmp_path) == ["target"]


def test_the_next_build_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    written("dataset", tmp_path, kill_at="rename")
    assert list(tmp_path.glob(".target.*"))
    written("dataset", tmp_path)
    assert not list(tmp_path.glob(".target.*"))
