"""Archives changed at random: whatever a file says, it is unpacked or refused by an ArchiveError, and writes nothing
outside its folder, and at most what the limits allow.

`corpus/archives` has the files that it starts from: a file that once broke the reader is added there, and is tried
first.
"""

import shutil
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.archives import ArchiveLimits, unpack
from app.archives.errors import ArchiveError
from tests.support.changed_bytes import FUZZED, Changes, changed, changes_of

CORPUS = sorted((Path(__file__).parent / "corpus" / "archives").iterdir())
MOST_BYTES = 200_000
PIECES = [
    b"PK\x01\x02",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"\x01\x00\x10\x00",  # the sizes of a large file, in a zip file
    b"ustar\x0000",
    b"ustar  \x00",
    b"../../etc/",
    b"/root/",
    b"a/./../b\x00",
    b"22 GNU.sparse.size=999\n",
    b"20 path=../outside\n",
    b"30 size=99999999999999999999\n",
    b"77777777777",
    b"\x80\xff\xff\xff\xff\xff\xff\xff",
    *(kind * 1 for kind in (b"0", b"1", b"2", b"3", b"5", b"g", b"x", b"K", b"L", b"S")),
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00",
    b"\xfe\xff",
]

seeds = st.sampled_from(range(len(CORPUS)))
edits = changes_of(PIECES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read(folder: Path, data: bytes) -> None:
    archive, target = folder / "archive", folder / "within" / "out"
    archive.write_bytes(data)
    target.mkdir(parents=True)
    written = 0
    try:
        written = unpack(archive, target, ArchiveLimits(bytes=MOST_BYTES, entries=50), wanted=lambda _: True).bytes
    except ArchiveError as error:
        assert len(error.message) < 8000
    except MemoryError:  # which the limited process names
        pass
    assert written <= MOST_BYTES
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert sorted(path.name for path in folder.iterdir()) == ["archive", "within"]
    assert not [path for path in target.rglob("*") if path.is_symlink() or not (path.is_file() or path.is_dir())]
    shutil.rmtree(folder / "within")


@pytest.mark.parametrize("seed", CORPUS, ids=lambda seed: seed.name)
def test_no_archive_of_the_corpus_breaks_the_reader(seed: Path, folder: Path) -> None:
    read(folder, seed.read_bytes())


@settings(FUZZED, max_examples=50)
@given(seed=seeds, changes=edits)
@example(seed=0, changes=[])
def test_few_changed_archives_do_not_break_the_reader(seed: int, changes: Changes, folder: Path) -> None:
    read(folder, changed(CORPUS[seed].read_bytes(), changes))


@pytest.mark.slow
@settings(FUZZED, max_examples=4_000)
@given(seed=seeds, changes=edits)
def test_no_changed_archive_breaks_the_reader(seed: int, changes: Changes, folder: Path) -> None:
    read(folder, changed(CORPUS[seed].read_bytes(), changes))


@pytest.mark.nightly
@settings(FUZZED, max_examples=15_000)
@given(seed=seeds, changes=edits)
def test_no_changed_archive_breaks_the_reader_in_two_minutes(seed: int, changes: Changes, folder: Path) -> None:
    read(folder, changed(CORPUS[seed].read_bytes(), changes))
