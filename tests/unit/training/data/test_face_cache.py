"""Prepared faces on disk: found whole or made again, never wrong, never half there."""

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from worker.training.data.face_cache import PreparedFaces
from worker.training.data.preprocess import Faces
from worker.training.runtime.control import Control, StopRequested

KEY, COUNT = "0" * 64, 5
FACES_U8 = torch.randint(256, (COUNT, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
SIZES = Counter({(16, 16): 3, (12, 14): 2})


def chunks() -> Iterator[Faces]:
    yield Faces(FACES_U8[:3], Counter({(16, 16): 3}))
    yield Faces(FACES_U8[3:], Counter({(12, 14): 2}))


@pytest.fixture
def store(tmp_path: Path) -> PreparedFaces:
    return PreparedFaces(tmp_path / "prepared", Control())


@pytest.fixture
def array(store: PreparedFaces, tmp_path: Path) -> Path:
    store.make(KEY, COUNT, chunks)
    return tmp_path / "prepared" / f"{KEY}.npy"


def assert_right(faces: Faces | None) -> None:
    assert faces is not None
    assert torch.equal(faces.pixels_u8, FACES_U8)
    assert faces.sizes == SIZES


def test_what_is_made_is_found(store: PreparedFaces) -> None:
    assert store.find(KEY, COUNT) is None
    assert_right(store.make(KEY, COUNT, chunks))
    assert_right(store.find(KEY, COUNT))


def test_faces_are_read_from_the_file_and_never_written_to_it(store: PreparedFaces, array: Path) -> None:
    before = array.read_bytes()
    faces = store.find(KEY, COUNT)
    assert faces is not None
    in_memory = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if ".npy" in line}
    assert str(array) in in_memory, "memory-mapped"
    faces.pixels_u8.zero_()
    assert array.read_bytes() == before


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def make_nonsense(path: Path) -> None:
    path.write_text("[]")


def claim_other_sizes(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "sizes": [[16, 16, 4]]}))


@pytest.mark.parametrize(
    ("damage", "suffix"),
    [
        (flip_a_bit, ".npy"),
        (cut, ".npy"),
        (Path.unlink, ".npy"),
        (make_nonsense, ".npy"),
        (cut, ".json"),
        (Path.unlink, ".json"),
        (make_nonsense, ".json"),
        (claim_other_sizes, ".json"),
    ],
)
def test_what_is_damaged_or_half_there_is_made_again(
    damage: Callable[[Path], None], suffix: str, store: PreparedFaces, array: Path
) -> None:
    damage(array.with_suffix(suffix))
    assert store.find(KEY, COUNT) is None
    assert_right(store.make(KEY, COUNT, chunks))
    assert_right(store.find(KEY, COUNT))


def test_a_find_is_a_use(store: PreparedFaces, array: Path) -> None:
    for path in (array, array.with_suffix(".json")):
        os.utime(path, (0, 0))
    store.find(KEY, COUNT)
    assert time.time() - array.stat().st_mtime < 60
    assert time.time() - array.with_suffix(".json").stat().st_mtime < 60


def test_two_that_make_the_same_at_once_do_no_harm(store: PreparedFaces) -> None:
    together = threading.Barrier(2)
    made: list[Faces] = []

    def chunks_in_step() -> Iterator[Faces]:
        for faces in chunks():
            together.wait(timeout=10)
            yield faces

    def make() -> None:
        made.append(store.make(KEY, COUNT, chunks_in_step))

    threads = [threading.Thread(target=make) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 2
    for faces in [*made, store.find(KEY, COUNT)]:
        assert_right(faces)


def test_a_making_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    control = Control()

    def stopping() -> Iterator[Faces]:
        for faces in chunks():
            yield faces
            control.stop.set()

    with pytest.raises(StopRequested):
        PreparedFaces(tmp_path, control).make(KEY, COUNT, stopping)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_training_left_is_removed_but_not_what_another_writes(store: PreparedFaces, array: Path) -> None:
    left, being_written = (array.with_name(f".{array.name}.{name}.partial") for name in ("left", "written"))
    for path in (left, being_written):
        path.touch()
    os.utime(left, (0, 0))
    store.make(KEY, COUNT, chunks)
    assert not left.exists()
    assert being_written.exists()
