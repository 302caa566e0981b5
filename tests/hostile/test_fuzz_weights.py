"""Weights files changed at random: whatever a file says, the reader returns or raises a WeightsError, within the limit
of its memory.

It runs the task in this process, thousands of times. `corpus/weights` has the files that it starts from: a file that
once broke the reader is added there, and is tried first.
"""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.checked_weights.reading import check
from app.checked_weights.task import CHECK, CheckRequest
from app.finetune.state_dicts import Weights
from app.finetune.weights_errors import WeightsError
from tests.support.changed_bytes import FUZZED, Changes, changed, changes_of

CORPUS = sorted((Path(__file__).parent / "corpus" / "weights").iterdir())
PIECES = [
    *(
        bytes([code])
        for code in b"(.0123NJKMXU)]}aehjqrstubcRQ\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8e\x93\x94\x95"
    ),
    b"\xff\xff\xff\xff",
    b"\x00\x00\x00\x00\x00\x00\x00\x80",
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"ccollections\nOrderedDict\n",
    b"cos\nsystem\n",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b'{"__metadata__":',
    b'"shape":[-1]',
    b"1e999",
]

seeds = st.sampled_from(range(len(CORPUS)))
edits = changes_of(PIECES)
families = st.sampled_from(["DSR", "EdgeFace"])


@pytest.fixture(scope="module")
def limited_memory() -> Iterator[None]:
    """As a child has it."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + CHECK.limits.memory_bytes, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "weights"


def read(path: Path, data: bytes, family: Weights) -> None:
    path.write_bytes(data)
    try:
        check(CheckRequest(path=path, family=family), lambda _done, _total: None)
    except WeightsError as error:
        assert len(error.message) < 8000


@pytest.mark.parametrize("seed", CORPUS, ids=lambda seed: seed.name)
@pytest.mark.parametrize("family", ["DSR", "EdgeFace"])
def test_no_file_of_the_corpus_breaks_the_reader(seed: Path, family: Weights, path: Path) -> None:
    read(path, seed.read_bytes(), family)


@pytest.mark.slow
@pytest.mark.usefixtures("limited_memory")
@settings(FUZZED, max_examples=2_000)
@given(seed=seeds, changes=edits, family=families)
@example(seed=0, changes=[], family="DSR")
def test_no_changed_file_breaks_the_reader(seed: int, changes: Changes, family: Weights, path: Path) -> None:
    read(path, changed(CORPUS[seed].read_bytes(), changes), family)


@pytest.mark.nightly
@pytest.mark.usefixtures("limited_memory")
@settings(FUZZED, max_examples=6_000)
@given(seed=seeds, changes=edits, family=families)
def test_no_changed_file_breaks_the_reader_in_three_minutes(
    seed: int, changes: Changes, family: Weights, path: Path
) -> None:
    read(path, changed(CORPUS[seed].read_bytes(), changes), family)
