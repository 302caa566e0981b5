"""A user's file is opened only if it is a regular one, without waiting, and where a process may read."""

import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.finetune.errors import UnreadableImages
from app.finetune.images import find_unreadable, read_bytes, read_rgb
from app.finetune.user_files import FileRefused, confine_to, open_file, read_file
from app.finetune.weights_errors import WeightsOtherFormat
from app.finetune.weights_format import format_of


@pytest.fixture
def special(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """A file of each kind that is not regular, by the words for it."""
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "device.png").symlink_to("/dev/zero")
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(tmp_path / "socket.png"))
        names = {"a named pipe": "pipe", "a folder": "folder", "a device": "device", "a socket": "socket"}
        yield {kind: tmp_path / f"{name}.png" for kind, name in names.items()}


def test_what_is_not_regular_is_refused_by_its_kind(special: dict[str, Path]) -> None:
    for kind, path in special.items():
        with pytest.raises(FileRefused, match=f"{kind}, not a file"):
            open_file(path)
        with pytest.raises(UnreadableImages, match=rf"{path.name} \(cannot be opened: {kind}, not a file\)"):
            read_rgb(path)
        with pytest.raises(
            WeightsOtherFormat, match=f"{path.name} is {kind}, not a file that torch.save or safetensors"
        ):
            format_of(path)


def test_all_unreadable_images_are_found(special: dict[str, Path], tmp_path: Path) -> None:
    assert find_unreadable([*special.values(), tmp_path / "gone.png"]).keys() == {
        *special.values(),
        tmp_path / "gone.png",
    }


def test_a_regular_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", 7) == read_bytes(tmp_path / "link") == b"content"
    with open_file(tmp_path / "link") as file:
        assert not os.get_inheritable(file.fileno())


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(FileRefused, match="has 1,099,511,627,776 bytes, more than the 7 that are read"):
        read_file(tmp_path / "sparse.png", 7)
    with pytest.raises(UnreadableImages, match="more than the 300,000,000 that are read"):
        read_rgb(tmp_path / "sparse.png")


def test_no_descriptor_stays_open_after_a_refusal(special: dict[str, Path]) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for path in special.values():
        with pytest.raises(FileRefused):
            open_file(path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def _read_confined(root: Path) -> list[str]:
    confine_to([root])
    return [f"{path.relative_to(root)} {why}" for path, why in find_unreadable(sorted(root.rglob("*.png"))).items()]


def test_a_confined_process_reads_nothing_outside_wherever_links_lead(tmp_path: Path) -> None:
    dataset, outside = tmp_path / "datasets" / "faces", tmp_path / "elsewhere"
    dataset.mkdir(parents=True)
    outside.mkdir()
    for folder in (dataset, outside):
        (folder / "a.png").write_bytes(b"P6 1 1 255\nabc")
    (dataset / "inside.png").symlink_to("a.png")
    (dataset / "outside.png").symlink_to(outside / "a.png")
    (tmp_path / "datasets" / "linked").symlink_to(outside)
    (tmp_path / "datasets" / "linked.png").symlink_to("linked/a.png")
    with multiprocessing.get_context("fork").Pool(1) as pool:  # for the rest of its life
        found = pool.apply(_read_confined, (tmp_path / "datasets",))
    reason = "cannot be opened: a link that leads outside the folders that may be read"
    assert found == [f"faces/outside.png {reason}", f"linked.png {reason}"]
