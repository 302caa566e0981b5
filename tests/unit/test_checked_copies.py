"""The copy that a trainer opens: it alone is read, and only as it was checked."""

import hashlib
import os
import time
from pathlib import Path

import pytest
import torch

from app.checked_weights.copies import ABANDONED_SECONDS, clean_copies
from app.finetune.checked_copy import CheckedCopy, copy_of
from app.finetune.weights_errors import WeightsMissing, WeightsUnreadable
from tests.support.hostile_weights import tensors_of
from worker.checked_copies import keep_copies
from worker.training.models.dsr import load_dsr
from worker.training.runtime.control import Control
from worker.training.storage.digests import sha256_of_weights


@pytest.fixture
def path(tmp_path: Path) -> Path:
    torch.save(tensors_of(), tmp_path / "dsr.pth")
    return tmp_path / "dsr.pth"


@pytest.fixture
def copy(path: Path, tmp_path: Path) -> CheckedCopy:
    return keep_copies({path: "DSR"}, tmp_path / "checked")[path]


def test_a_trainer_reads_the_copy_and_not_the_file(path: Path, copy: CheckedCopy) -> None:
    content = path.read_bytes()
    path.write_bytes(b"something else")
    copies = {path: copy}
    loaded = load_dsr(copy_of(copies, path)).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in tensors_of().items())
    assert sha256_of_weights(path, copies, Control()) == hashlib.sha256(content).hexdigest()


def test_a_file_without_a_copy_is_not_opened_in_its_place(path: Path) -> None:
    with pytest.raises(WeightsUnreadable, match="it was not checked when the job began"):
        copy_of({}, path)


def test_a_copy_that_changed_or_is_gone_is_refused(path: Path, copy: CheckedCopy) -> None:
    content = bytearray(copy.path.read_bytes())
    content[-1] ^= 1
    copy.path.write_bytes(content)
    with pytest.raises(WeightsUnreadable, match=r"it is not the copy of .*dsr\.pth that was checked"):
        load_dsr(copy)
    assert keep_copies({path: "DSR"}, copy.path.parent)[path] == copy
    assert load_dsr(copy)
    copy.path.unlink()
    with pytest.raises(WeightsMissing):
        load_dsr(copy)


def test_copies_that_no_job_used_for_long_are_deleted_and_no_others(path: Path, copy: CheckedCopy) -> None:
    folder, long_ago = copy.path.parent, time.time() - 10 * ABANDONED_SECONDS
    foreign, partial = folder / "notes.txt", folder / f".{copy.path.name}.0123abcd.partial"
    for file in (foreign, partial):
        file.write_text("content")
    for file in (foreign, partial, copy.path):
        os.utime(file, (long_ago, long_ago))
    assert clean_copies(folder, 20 * ABANDONED_SECONDS).files == 1
    assert sorted(folder.iterdir()) == sorted([foreign, copy.path])
    keep_copies({path: "DSR"}, folder)
    assert clean_copies(folder, 0).files == 0, "it was used just now"
    os.utime(copy.path, (long_ago, long_ago))
    assert clean_copies(folder, 0).files == 1
    assert list(folder.iterdir()) == [foreign]
