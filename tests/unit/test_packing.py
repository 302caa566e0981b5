"""A folder as a tar file that is made while it is read: the same bytes from wherever one begins."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from app.client import UploadUnreadable
from app.client.packing import Packed

LONG = "a name that is longer than a header of tar has room for " * 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "anna/1.png": b"x" * 700,
        "anna/2.png": b"",
        f"ben/{LONG}.png": os.urandom(512),
        "ben/\udcff.png": b"not UTF-8",
        ".hidden/1.png": b"no",
        "ben/.DS_Store": b"no",
    }
    root = tmp_path / "faces"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "ben" / "link.png").symlink_to(root / "anna" / "1.png")
    (root / "ben" / "up").symlink_to(root)
    return root


def test_it_is_a_tar_file_of_what_lies_in_the_folder(folder: Path) -> None:
    packed = Packed(folder)
    content = packed.read(0, packed.length)
    assert (packed.name, len(content)) == ("faces.tar", packed.length)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
        read = {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]
    assert set(read) == {"anna/1.png", "anna/2.png", "ben/link.png", "ben/\udcff.png", f"ben/{LONG}.png"}
    assert all((folder / name).read_bytes() == each for name, each in read.items())


def test_any_part_of_it_is_that_of_the_whole(folder: Path) -> None:
    packed = Packed(folder)
    whole = packed.read(0, packed.length)
    assert b"".join(packed.read(start, 97) for start in range(0, packed.length, 97)) == whole
    assert all(packed.read(start, 1) == whole[start : start + 1] for start in range(packed.length))
    assert packed.read(packed.length, 10) == b""


def test_a_file_that_changes_is_another_source_and_is_not_sent(folder: Path) -> None:
    packed = Packed(folder)
    assert Packed(folder).identity == packed.identity
    (folder / "anna" / "2.png").write_bytes(b"more")
    assert Packed(folder).identity != packed.identity
    with pytest.raises(UploadUnreadable, match=r"2\.png changed while it was sent"):
        packed.read(0, packed.length)


def test_what_is_no_file_is_refused_by_its_name(folder: Path) -> None:
    os.mkfifo(folder / "anna" / "pipe.png")
    with pytest.raises(UploadUnreadable, match=r"pipe\.png is neither a file nor a folder"):
        Packed(folder)
    empty = folder / "empty"
    empty.mkdir()
    with pytest.raises(UploadUnreadable, match="empty has no file"):
        Packed(empty)
