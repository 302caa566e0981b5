"""EdgeFace weights: each variant is recognised and fits strictly; every other file has its own clear error."""

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from app.finetune.architectures import EDGEFACE_VARIANTS
from app.finetune.weights_errors import (
    WeightsError,
    WeightsMismatch,
    WeightsMissing,
    WeightsQuantized,
    WeightsUnreadable,
    WeightsUnsafe,
    WeightsValuesInvalid,
    WeightsWithoutTensors,
)
from worker.training.models.edgeface import EdgeFace, load_edgeface, new_edgeface
from worker.training.models.edgenext import RankReducedLinear

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def xxs() -> Tensors:
    return dict(new_edgeface("edgeface_xxs", seed=0).state_dict())


def save(folder: Path, content: object) -> Path:
    torch.save(content, folder / "weights.pt")
    return folder / "weights.pt"


@pytest.mark.parametrize("name", EDGEFACE_VARIANTS)
def test_every_variant_is_recognised(name: str, tmp_path: Path) -> None:
    saved = new_edgeface(name, seed=0).eval()
    assert sum(parameter.numel() for parameter in saved.parameters()) == EDGEFACE_VARIANTS[name].parameters
    loaded, variant = load_edgeface(save(tmp_path, saved.state_dict()))
    assert variant.name == name
    x_BCHW = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(loaded.eval()(x_BCHW), saved(x_BCHW), rtol=1e-3, atol=1e-4)


def test_low_rank_variants_have_no_linear_of_full_rank() -> None:
    edgeface = EdgeFace(EDGEFACE_VARIANTS["edgeface_s_gamma_05"])
    reduced = {name for name, module in edgeface.named_modules() if isinstance(module, RankReducedLinear)}
    linear = {name for name, module in edgeface.named_modules() if isinstance(module, nn.Linear)}
    assert "model.head.fc" in reduced
    assert linear == {f"{name}.{half}" for name in reduced for half in ("linear1", "linear2")}
    assert edgeface.get_submodule("model.head.fc.linear1").bias is None


@pytest.mark.parametrize("file", ["edgeface_xxs", "edgeface_xs"])
def test_the_real_files_fit(file: str, shared_assets: Path) -> None:
    assert load_edgeface(shared_assets / "weights" / f"{file}.pt")[1].name == file


@pytest.mark.parametrize("wrapper", [None, "backbone_state_dict", "model_state_dict", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "model.", "module.", "module.model."])
def test_wrappers_and_prefixes(wrapper: str | None, prefix: str, xxs: Tensors, tmp_path: Path) -> None:
    tensors = {prefix + name.removeprefix("model."): tensor for name, tensor in xxs.items()}
    loaded, _ = load_edgeface(save(tmp_path, {wrapper: tensors, "epoch": 3} if wrapper else tensors))
    for name, tensor in loaded.state_dict().items():
        torch.testing.assert_close(tensor, xxs[name], rtol=0, atol=0)


def test_half_precision_files_become_float32(xxs: Tensors, tmp_path: Path) -> None:
    loaded, _ = load_edgeface(save(tmp_path, {name: tensor.half() for name, tensor in xxs.items()}))
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


def test_untrained_weights_repeat_and_leave_the_global_seed_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second, other = (
        new_edgeface("edgeface_xxs", seed).state_dict()["model.head.fc.weight"] for seed in (1, 1, 2)
    )
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def lacking(tensors: Tensors) -> object:
    return {name: tensor for name, tensor in tensors.items() if name != "model.head.fc.bias"}


def foreign(tensors: Tensors) -> object:
    return {**tensors, "model.extra.weight": torch.zeros(2)}


def another_architecture(_: Tensors) -> object:
    return timm.create_model("resnet18").state_dict()


def another_head(_: Tensors) -> object:
    return timm.create_model("edgenext_xx_small", num_classes=1000).state_dict()


def another_width(tensors: Tensors) -> object:
    return {**tensors, "model.stem.0.weight": torch.zeros(25, 3, 4, 4)}


def not_a_number(tensors: Tensors) -> object:
    return {**tensors, "model.stem.0.bias": torch.full((24,), torch.nan)}


def integers(tensors: Tensors) -> object:
    return {**tensors, "model.stem.0.bias": torch.zeros(24, dtype=torch.int64)}


def int8_tensors(tensors: Tensors) -> object:
    return {**tensors, "model.head.fc.weight": torch.zeros(512, 168, dtype=torch.int8)}


def a_module(_: Tensors) -> object:
    return nn.Linear(2, 2)


def a_list(tensors: Tensors) -> object:
    return list(tensors.values())


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (lacking, WeightsMismatch, "missing keys head.fc.bias"),
        (foreign, WeightsMismatch, "unexpected keys extra.weight"),
        (another_architecture, WeightsMismatch, "no key stem.0.weight"),
        (another_head, WeightsMismatch, "head.fc.weight is (1000, 168) instead of (512, 168)"),
        (another_width, WeightsMismatch, "25 stem channels"),
        (not_a_number, WeightsValuesInvalid, "stem.0.bias holds NaN"),
        (integers, WeightsValuesInvalid, "stem.0.bias holds torch.int64"),
        (int8_tensors, WeightsQuantized, "int8"),
        (a_module, WeightsUnsafe, "torch.nn.modules.linear.Linear"),
        (a_list, WeightsWithoutTensors, "it holds a list of 160"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_what_cannot_be_used_says_why(
    content: Callable[[Tensors], object],
    error: type[WeightsError],
    said: str,
    zipped: bool,
    xxs: Tensors,
    tmp_path: Path,
) -> None:
    path = tmp_path / "weights.pt"
    torch.save(content(xxs), path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(error) as refused:
        load_edgeface(path)
    assert said in refused.value.message


@pytest.mark.parametrize("kind", ["state_dict", "module", "torchscript"])
def test_a_file_quantised_to_int8_is_refused_as_such(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "edgeface_xxs_q.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch deprecates the very tools that made the `_q` files
        network = nn.Sequential(nn.Linear(2, 2)) if kind == "torchscript" else new_edgeface("edgeface_xxs", seed=0)
        quantised = torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8)  # type: ignore[no-untyped-call]
        if kind == "torchscript":
            torch.jit.script(quantised).save(path)
        else:
            torch.save(quantised.state_dict() if kind == "state_dict" else quantised, path)
    with pytest.raises(WeightsQuantized):
        load_edgeface(path)


@pytest.mark.parametrize("content", [b"", b"hello, I am no weights file", b"\x80\x02garbage"])
def test_files_of_something_else(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsUnreadable):
        load_edgeface(path)


def test_a_file_cut_short(xxs: Tensors, tmp_path: Path) -> None:
    path = save(tmp_path, xxs)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(WeightsUnreadable):
        load_edgeface(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"nowhere\.pt does not exist"):
        load_edgeface(tmp_path / "nowhere.pt")
