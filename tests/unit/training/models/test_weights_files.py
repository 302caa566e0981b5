"""Weights files as people have them: both readers find the network, or name what they found."""

import argparse
import io
import json
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from app.finetune.architectures import EDGEFACE_VARIANTS, DsrLayout
from app.finetune.weights_errors import (
    WeightsAmbiguous,
    WeightsError,
    WeightsMismatch,
    WeightsOtherFormat,
    WeightsQuantized,
    WeightsUnreadable,
    WeightsUnsafe,
    WeightsWithoutTensors,
)
from app.inputs.weights_file import check_dsr, check_edgeface
from worker.training.models.dsr import DSR, load_dsr
from worker.training.models.edgeface import load_edgeface, new_edgeface

Tensors = dict[str, Tensor]
SMALL = DsrLayout(channels=2, blocks=1, factors=(2,), prelu_parameters=1)

KEYS = [
    "model",
    "params",
    "params_ema",
    "state_dict",
    "model_state_dict",
    "state_dict_backbone",
    "backbone",
    "net",
    "ema",
]
PREFIXES = ["module.", "model.", "backbone.", "_orig_mod.", "encoder."]
BESIDE = {
    "epoch": 5,
    "best_accuracy": 0.91,
    "device": torch.device("cpu"),
    "sizes": torch.Size((1, 2)),
    "dtype": torch.bfloat16,
    "scheduler": None,
    "seeds": {1, 2},
    "rng": torch.zeros(4, dtype=torch.uint8),
    "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]},
}


def network() -> DSR:
    torch.manual_seed(0)
    return DSR(SMALL)


DSR_TENSORS: Tensors = dict(network().state_dict())


def wrap(tensors: Tensors, keys: list[str], prefixes: list[str], inserted: str | None, beside: set[str]) -> object:
    """The tensors as a program saves them: under nested keys, with prefixes, and with other values beside them."""
    renamed = OrderedDict(
        ("".join(prefixes) + (name.replace(".", f".{inserted}.", 1) if inserted else name), tensor)
        for name, tensor in tensors.items()
    )
    content: dict[str, Any] = renamed
    for key in reversed(keys):
        content = {**{name: BESIDE[name] for name in beside}, key: content}
    return content


wrappings = st.fixed_dictionaries(
    {
        "keys": st.lists(st.sampled_from(KEYS), max_size=2),
        "prefixes": st.lists(st.sampled_from(PREFIXES), max_size=4),
        "inserted": st.sampled_from([None, "_orig_mod", "module"]),
        "beside": st.sets(st.sampled_from(sorted(BESIDE))),
    }
)


@settings(max_examples=80, database=None)
@given(wrapping=wrappings, zipped=st.booleans())
def test_any_wrapping_of_a_dsr_network_loads_the_same_tensors(
    wrapping: dict[str, Any], zipped: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("weights") / "dsr.pth"
    torch.save(wrap(DSR_TENSORS, **wrapping), path, _use_new_zipfile_serialization=zipped)
    assert check_dsr(path) == ((SMALL, []) if zipped else (None, []))
    loaded = load_dsr(path).state_dict()
    assert loaded.keys() == DSR_TENSORS.keys()
    assert all(torch.equal(loaded[name], DSR_TENSORS[name]) for name in loaded)


XXS: Tensors = dict(new_edgeface("edgeface_xxs", seed=0).state_dict())


@settings(max_examples=15, database=None)
@given(wrapping=wrappings)
def test_any_wrapping_of_an_edgeface_loads_the_same_tensors(
    wrapping: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("weights") / "edgeface.pt"
    torch.save(wrap({name.removeprefix("model."): each for name, each in XXS.items()}, **wrapping), path)
    assert check_edgeface(path) == []
    loaded = load_edgeface(path)[0].state_dict()
    assert all(torch.equal(loaded[name], XXS[name]) for name in XXS)


@pytest.mark.parametrize("name", EDGEFACE_VARIANTS)
def test_the_shapes_known_without_torch_are_those_of_the_network(name: str) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in new_edgeface(name, 0).model.state_dict().items()}
    assert EDGEFACE_VARIANTS[name].shapes() == expected


def write(folder: Path, content: object) -> Path:
    torch.save(content, folder / "weights.pth")
    return folder / "weights.pth"


def other_network(tensors: Tensors) -> Tensors:
    return {name: tensor + 1 for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("content", "used"),
    [
        ({"params": DSR_TENSORS, "params_ema": other_network(DSR_TENSORS)}, "params_ema"),
        ({"ema": {"module": other_network(DSR_TENSORS)}, "model": DSR_TENSORS}, "ema/module"),
        ({"teacher": DSR_TENSORS, "model": other_network(DSR_TENSORS)}, "model"),
        ({"net": DSR_TENSORS, "state_dict": other_network(DSR_TENSORS)}, "state_dict"),
    ],
)
def test_of_several_networks_the_usual_one_is_used_and_the_warning_names_the_others(
    content: dict[str, object], used: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    assert torch.equal(load_dsr(path).conv_in.weight, other_network(DSR_TENSORS)["conv_in.weight"])
    _, (warning,) = check_dsr(path)
    assert warning.code == "weights_partly_used"
    assert f"the one under {used} is used, not " in warning.message


@pytest.mark.parametrize(
    "content",
    [
        {"student": DSR_TENSORS, "teacher": other_network(DSR_TENSORS)},
        {f"{half}.{name}": tensor for half in ("student", "teacher") for name, tensor in DSR_TENSORS.items()},
    ],
)
def test_two_networks_whose_names_do_not_say_which_is_meant_are_refused(content: object, tmp_path: Path) -> None:
    path = write(tmp_path, content)
    for read in (check_dsr, load_dsr):
        with pytest.raises(WeightsAmbiguous, match=r"contains 2 DSR networks.*student.*teacher"):
            read(path)


def test_a_classifier_beside_the_network_is_left_out_with_a_warning(tmp_path: Path) -> None:
    beside = {"arcface.weight": torch.zeros(3, 512), "n_averaged": torch.tensor(3)}
    prefixed = {f"backbone.{name}": tensor for name, tensor in DSR_TENSORS.items()}
    path = write(tmp_path, {"state_dict": prefixed | beside})
    _, (warning,) = check_dsr(path)
    assert "contains tensors beside the network, which are not used: arcface.weight" in warning.message
    assert torch.equal(load_dsr(path).conv_in.weight, DSR_TENSORS["conv_in.weight"])


def changed(name: str, tensor: Tensor | None) -> Tensors:
    tensors = {key: each for key, each in DSR_TENSORS.items() if key != name}
    return tensors if tensor is None else tensors | {name: tensor}


class Training(nn.Module):
    """A pickled module of a program that is not installed here."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)


def scripted() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch deprecates TorchScript
        torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"content")
    return buffer.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"conv_in.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(4)


def saved(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


int8 = {**DSR_TENSORS, "conv_in.weight": torch.zeros(2, 3, 3, 3, dtype=torch.int8)}

CASES: dict[str, tuple[bytes, type[WeightsError], str, str]] = {
    "text": (b"hello", WeightsUnreadable, "neither a zip archive nor a pickle", "download it again"),
    "empty": (b"", WeightsUnreadable, "it is empty (0 bytes)", "download it again"),
    "cut short": (saved(DSR_TENSORS)[:900], WeightsUnreadable, "cut short after 900 bytes", "download it again"),
    "web page": (b"\n<!DOCTYPE html><html>", WeightsOtherFormat, "an HTML page", "download the file itself"),
    "git lfs": (b"version https://git-lfs.github.com/spec/v1\n", WeightsOtherFormat, "Git LFS pointer", "git lfs pull"),
    "safetensors": (safetensors(), WeightsMismatch, "conv_in.weight is (1,) instead of", ""),
    "keras": (b"\x89HDF\r\n\x1a\n", WeightsOtherFormat, "HDF5", "torch.save(model.state_dict(), path)"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a", WeightsOtherFormat, "an ONNX model", "exported from"),
    "gzip": (b"\x1f\x8b\x08", WeightsOtherFormat, "an archive", "unpack it"),
    "zip": (zipped("weights.pt"), WeightsOtherFormat, "a zip archive of other files", "unpack it"),
    "TorchScript": (scripted(), WeightsOtherFormat, "a TorchScript program", "torch.jit.load(path).state_dict()"),
    "int8": (saved(int8), WeightsQuantized, "quantised to int8", "float32"),
    "list": (saved([torch.zeros(1)]), WeightsWithoutTensors, "it holds a list of 1", "state_dict()"),
    "tensor": (saved(torch.zeros(1)), WeightsWithoutTensors, "it holds a ", "state_dict()"),
    "empty dict": (saved({}), WeightsWithoutTensors, "an empty dict", "state_dict()"),
    "no tensor": (
        saved({"epoch": 5, "model": {}}),
        WeightsWithoutTensors,
        "epoch (an int), model (an empty dict)",
        "state_dict()",
    ),
    "module": (saved(nn.Linear(2, 2)), WeightsUnsafe, "torch.nn.modules.linear.Linear", "model.state_dict()"),
    "arguments": (
        saved({"model": DSR_TENSORS, "args": argparse.Namespace(lr=1)}),
        WeightsUnsafe,
        "argparse.Namespace",
        "model.state_dict()",
    ),
    "EdgeFace": (saved({"model": XXS}), WeightsMismatch, "EdgeFace weights, which the field edgeface takes", ""),
    "other network": (
        saved({"net": {"fc.weight": torch.zeros(2, 2)}, "epoch": 1}),
        WeightsMismatch,
        "it has no key conv_in.weight; its keys under net are fc.weight",
        "",
    ),
    "missing": (saved(changed("conv_out.bias", None)), WeightsMismatch, "missing keys conv_out.bias", ""),
    "other shape": (
        saved({"model": changed("conv_out.weight", torch.zeros(1, 2, 3, 3))}),
        WeightsMismatch,
        "conv_out.weight is (1, 2, 3, 3) instead of (3, 2, 3, 3)",
        "",
    ),
    "scalar": (saved(changed("conv_in.weight", torch.tensor(1.0))), WeightsMismatch, "conv_in.weight is ()", ""),
}


@pytest.mark.parametrize("reader", [check_dsr, load_dsr], ids=["service", "worker"])
@pytest.mark.parametrize("case", CASES)
def test_what_cannot_be_used_is_named_with_what_to_do(
    case: str, reader: Callable[[Path], object], tmp_path: Path
) -> None:
    content, error, said, advised = CASES[case]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(error) as refused:
        reader(path)
    assert type(refused.value) is error
    assert said in refused.value.message
    assert advised in refused.value.hint
    assert ("again" in refused.value.hint) == (error is WeightsUnreadable), "only a damaged file is downloaded again"


def test_shapes_that_differ_are_named_up_to_a_few_and_counted(tmp_path: Path) -> None:
    wider = {name: torch.zeros(*(2 * side for side in tensor.shape)) for name, tensor in XXS.items()}
    path = write(tmp_path, wider | {"model.stem.0.weight": XXS["model.stem.0.weight"]})
    for read in (check_edgeface, load_edgeface):
        with pytest.raises(WeightsMismatch) as refused:
            read(path)
        assert refused.value.message.count(" instead of ") == 3
        assert re.search(r" and \d+ more$", refused.value.message)


def test_a_folder_is_named_as_such(tmp_path: Path) -> None:
    for read in (check_dsr, load_dsr):
        with pytest.raises(WeightsOtherFormat, match="is a folder"):
            read(tmp_path)
