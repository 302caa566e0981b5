"""Whole files or none, on a disk that may be full."""

import errno
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.finetune.events import StateSaved, TrainingEvent
from app.finetune.training_errors import DiskFull
from tests.unit.training.support import tiny_config, write_training
from worker.training.finetune import finetune
from worker.training.runtime.control import Control
from worker.training.storage.atomic import fill_whole, write_bytes_whole


class FullDisk:
    """os.fsync that fails while `full`; `free` empties the disk, as far as it goes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int = errno.ENOSPC) -> None:
        self.full = True
        self.number = number
        self.freed = 0
        monkeypatch.setattr("os.fsync", self._fsync)

    def _fsync(self, _: int) -> None:
        if self.full:
            raise OSError(self.number, "no space")

    def free(self) -> bool:
        self.freed += 1
        self.full = False
        return True


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_leaves_no_file(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch, number)
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(DiskFull, match=f"no space left to write {tmp_path / 'file'}"):
        write_bytes_whole(tmp_path / "file", b"after", Control())
    with pytest.raises(DiskFull):
        write_bytes_whole(tmp_path / "file", b"after", Control(release_space=lambda: True))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"before"
    write_bytes_whole(tmp_path / "file", b"after", Control(release_space=disk.free))
    assert (tmp_path / "file").read_bytes() == b"after"
    assert disk.freed == 1


def test_another_error_is_not_taken_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FullDisk(monkeypatch, errno.EIO)
    with pytest.raises(OSError, match="no space") as error:
        write_bytes_whole(tmp_path / "file", b"content", Control(release_space=disk.free))
    assert error.value.errno == errno.EIO
    assert not disk.freed
    assert not list(tmp_path.iterdir())


def test_a_fill_that_fails_leaves_no_file(tmp_path: Path) -> None:
    def fill(file: io.BufferedWriter) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fill_whole(tmp_path / "file", fill, Control())
    assert not list(tmp_path.iterdir())


def test_leave_to_write_is_asked_before_the_file_is_opened_and_before_it_is_named(tmp_path: Path) -> None:
    seen: list[list[str]] = []
    control = Control(before_write=lambda: seen.append([path.suffix for path in tmp_path.iterdir()]))
    write_bytes_whole(tmp_path / "file", b"content", control)
    assert seen == [[], [".partial"]]


class NoLongerAllowed(Exception):
    """As from a before_write that ends the process."""


@pytest.mark.parametrize("allowed", [0, 1])
def test_without_leave_nothing_is_left(allowed: int, tmp_path: Path) -> None:
    asked: Iterator[int] = iter(range(allowed))

    def before_write() -> None:
        if next(asked, None) is None:
            raise NoLongerAllowed

    with pytest.raises(NoLongerAllowed):
        write_bytes_whole(tmp_path / "file", b"content", Control(before_write=before_write))
    assert not list(tmp_path.iterdir())


def test_every_file_of_a_training_is_written_with_leave_and_survives_a_disk_that_fills(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = write_training(tmp_path)
    disk, asked = FullDisk(monkeypatch), list[None]()

    def fill_up(event: TrainingEvent) -> None:
        disk.full = disk.full or isinstance(event, StateSaved)

    control = Control(before_write=lambda: asked.append(None), release_space=disk.free)
    finetune(tiny_config(early_stop_patience=0), files, fill_up, control)
    written = [path for path in (*files.output_dir.rglob("*"), *files.prepared_dir.iterdir()) if path.is_file()]
    assert disk.freed >= 3
    assert len(asked) == 2 * len(written) + disk.freed, "twice a file, once more for each that failed before its name"
    assert not list(tmp_path.rglob("*.partial"))
    with pytest.raises(DiskFull):
        finetune(tiny_config(), replace(files, output_dir=tmp_path / "other"), fill_up, Control())
    assert not list(tmp_path.rglob("*.partial"))
