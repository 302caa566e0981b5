"""Weights files that were made to do harm: each is refused by its own clear error, by the service and by the worker,
and costs next to nothing."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
import safetensors.torch
import torch

from app.checked_weights.check import check_and_keep, check_weights
from app.finetune.architectures import DsrLayout
from app.finetune.errors import EdgefaceError
from app.finetune.interruption import Interrupted, interruptible
from app.finetune.state_dicts import Weights
from app.finetune.weights_errors import WeightsError
from app.inputs.weights_file import check_dsr, check_edgeface
from tests.support.hostile_weights import HOSTILE, NOT_FILES, SLOW, SMALL, tensors_of
from worker.checked_copies import keep_copies
from worker.training.models.dsr import load_dsr

LONGEST_MESSAGE = 4000


def test_a_check_whose_client_left_ends(tmp_path: Path) -> None:
    torch.save(tensors_of(), tmp_path / "dsr.pth")
    unwanted = Event()
    unwanted.set()
    with interruptible(unwanted), pytest.raises(Interrupted):
        check_weights(tmp_path / "dsr.pth", "DSR")


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case in SLOW else case for case in HOSTILE]
)
def test_a_hostile_file_is_refused_by_its_own_error(case: str, tmp_path: Path) -> None:
    make, code, said = HOSTILE[case]
    path = tmp_path / "weights.pth"
    path.write_bytes(make())
    for check in (check_dsr, lambda path: keep_copies({path: "DSR"}, tmp_path / "checked")):
        with pytest.raises(WeightsError) as refused:
            check(path)
        assert refused.value.code == code
        assert said in refused.value.message
        assert str(path) in refused.value.message
        assert len(refused.value.message) < LONGEST_MESSAGE
    assert not list((tmp_path / "checked").iterdir()), "nothing is kept of it"


@pytest.mark.parametrize("what", NOT_FILES)
@pytest.mark.parametrize("check", [check_edgeface, check_dsr, load_dsr])
def test_what_is_no_file_is_refused_at_once(what: str, check: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    NOT_FILES[what](path)
    with pytest.raises(WeightsError) as refused:
        check(path)
    assert str(path) in refused.value.message


@pytest.mark.parametrize("family", ["EdgeFace", "DSR"])
def test_a_file_that_was_replaced_leaves_no_copy_under_its_old_digest(family: Weights, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(tensors_of(), path)
    if family == "EdgeFace":
        with pytest.raises(EdgefaceError, match="DSR weights, which the field dsr takes"):
            check_and_keep(path, family, tmp_path / "checked")
        return
    first = check_and_keep(path, family, tmp_path / "checked")
    torch.save({name: tensor + 1 for name, tensor in tensors_of().items()}, path)
    second = check_and_keep(path, family, tmp_path / "checked")
    assert first.copy_ is not None and second.copy_ is not None
    assert first.sha256 != second.sha256
    assert first.copy_.name != second.copy_.name


@pytest.mark.parametrize("layout", [SMALL, DsrLayout(4, 2, (), 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("format_", ["torch", "safetensors"])
def test_the_copy_has_exactly_the_values_that_torch_reads(
    layout: DsrLayout, dtype: torch.dtype, format_: str, tmp_path: Path
) -> None:
    check_copy(layout, dtype, format_, tmp_path)


@pytest.mark.slow  # torch is imported in the child
def test_a_file_of_an_old_pytorch_gets_a_copy_too(tmp_path: Path) -> None:
    check_copy(SMALL, torch.float16, "old torch", tmp_path)


def check_copy(layout: DsrLayout, dtype: torch.dtype, format_: str, tmp_path: Path) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in tensors_of(layout).items()}
    tensors["conv_in.weight"] = tensors["conv_in.weight"].to(memory_format=torch.channels_last)
    path = tmp_path / "dsr"
    if format_ == "safetensors":
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    else:
        torch.save({"state_dict": tensors}, path, _use_new_zipfile_serialization=format_ == "torch")
    copy = keep_copies({path: "DSR"}, tmp_path / "checked")[path]
    assert copy.path.stat().st_mode & 0o777 == 0o600
    of_copy, of_file = load_dsr(copy).state_dict(), load_dsr(path).state_dict()
    assert of_copy.keys() == of_file.keys()
    for name, tensor in of_copy.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, of_file[name])
        assert torch.equal(tensor, tensors[name].float())
