"""DSR: the layout comes from the tensors, whatever the file wraps them in; what does not fit is refused by name."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.finetune.architectures import DsrLayout
from app.finetune.weights_errors import WeightsMismatch
from worker.training.models.dsr import DSR, load_dsr

LAYOUTS = [
    DsrLayout(channels=64, blocks=8, factors=(2, 5), prelu_parameters=1),
    DsrLayout(channels=32, blocks=3, factors=(7,), prelu_parameters=32),
    DsrLayout(channels=16, blocks=0, factors=(2, 2, 2), prelu_parameters=1),
    DsrLayout(channels=8, blocks=1, factors=(), prelu_parameters=8),
    DsrLayout(channels=1, blocks=2, factors=(3,), prelu_parameters=1),
]


def untrained(layout: DsrLayout) -> DSR:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DSR(layout).eval()


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [(None, ""), ("model_state_dict", "model."), ("state_dict", "module."), (None, "module.model.")],
)
def test_layout_is_inferred(layout: DsrLayout, wrapper: str | None, prefix: str, tmp_path: Path) -> None:
    saved = untrained(layout)
    tensors = {prefix + name: tensor for name, tensor in saved.state_dict().items()}
    content: dict[str, object] = {wrapper: tensors, "epoch": 7} if wrapper else dict(tensors)
    torch.save(content, tmp_path / "dsr.pth")
    loaded = load_dsr(tmp_path / "dsr.pth")
    assert loaded.layout == layout
    assert not loaded.training
    x_BCHW = torch.rand(2, 3, 5, 6, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        y_BCUV = loaded(x_BCHW)
        torch.testing.assert_close(y_BCUV, saved(x_BCHW), rtol=0, atol=0)
    assert y_BCUV.shape == (2, 3, 5 * layout.enlargement, 6 * layout.enlargement)


def test_a_residual_block_adds_before_its_second_prelu() -> None:
    saved = untrained(DsrLayout(channels=2, blocks=1, factors=(), prelu_parameters=1))
    block = saved.residual_blocks[0]
    x_BCHW = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))

    def prelu(x: Tensor) -> Tensor:
        return torch.where(x < 0, 0.25 * x, x)

    expected = prelu(x_BCHW + block.get_submodule("conv2")(prelu(block.get_submodule("conv1")(x_BCHW))))
    torch.testing.assert_close(block(x_BCHW), expected)


def changed(changes: dict[str, Tensor | None]) -> dict[str, Tensor]:
    tensors = dict(untrained(LAYOUTS[0]).state_dict())
    for name, tensor in changes.items():
        if tensor is None:
            del tensors[name]
        else:
            tensors[name] = tensor
    return tensors


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"conv_in.weight": None}, "conv_in.weight"),
        ({"residual_blocks.3.conv2.bias": None}, "missing keys residual_blocks.3.conv2.bias"),
        ({"attention.weight": torch.zeros(3)}, "unexpected keys attention.weight"),
        ({"conv_out.weight": torch.zeros(1, 64, 3, 3)}, "conv_out.weight is (1, 64, 3, 3)"),
        ({"upsamplers.0.0.weight": torch.zeros(250, 64, 3, 3)}, "upsamplers.0.0.weight"),
        ({"residual_blocks.0.prelu.weight": torch.zeros(3)}, "residual_blocks.0.prelu.weight is (3,)"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_named(changes: dict[str, Tensor | None], named: str, tmp_path: Path) -> None:
    torch.save(changed(changes), tmp_path / "dsr.pth")
    with pytest.raises(WeightsMismatch) as refused:
        load_dsr(tmp_path / "dsr.pth")
    assert named in refused.value.message
