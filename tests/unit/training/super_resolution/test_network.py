"""A network before its first step, and its file."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from app.finetune.architectures import DsrLayout
from worker.training.models.dsr import DSR, load_dsr
from worker.training.runtime.control import Control
from worker.training.storage.atomic import saved_bytes, write_whole
from worker.training.super_resolution.initialise import new_dsr
from worker.training.super_resolution.loop import state_dict_of


@pytest.mark.parametrize("factors", [(2,), (3,), (2, 4), (2, 5)])
def test_a_new_network_interpolates(factors: tuple[int, ...]) -> None:
    x_BCHW = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    dsr = new_dsr(DsrLayout(16, 2, factors, 1), seed=3)
    dsr.conv_out.weight.data[:, 3:] = 0.0  # the random channels, of which little is let through
    interpolated = x_BCHW
    for factor in factors:
        interpolated = F.interpolate(interpolated, scale_factor=factor, mode="bilinear")
    inner = slice(2 * dsr.layout.enlargement, -2 * dsr.layout.enlargement)  # the border: zeros around it, not itself
    found, wanted = dsr(x_BCHW)[..., inner, inner], interpolated[..., inner, inner]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_new_network_is_the_same_for_the_same_seed_and_leaves_the_global_one_alone() -> None:
    layout = DsrLayout(8, 1, (2,), 1)
    before = torch.get_rng_state()
    first, again, other = (state_dict_of(new_dsr(layout, seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


@settings(deadline=None, max_examples=20)
@given(
    channels=st.integers(4, 24),
    blocks=st.integers(1, 4),
    factors=st.lists(st.integers(2, 5), min_size=1, max_size=3).map(tuple),
)
def test_the_file_has_the_layout_of_the_design(
    tmp_path_factory: pytest.TempPathFactory, channels: int, blocks: int, factors: tuple[int, ...]
) -> None:
    layout = DsrLayout(channels, blocks, factors, 1)
    path: Path = tmp_path_factory.mktemp("dsr") / "dsr.pth"
    dsr = new_dsr(layout, seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    write_whole(path, saved_bytes(state_dict_of(dsr)), Control())
    written = torch.load(path, weights_only=True)
    assert {name: tuple(tensor.shape) for name, tensor in written.items()} == layout.shapes()
    assert all(tensor.is_contiguous() for tensor in written.values())
    assert load_dsr(path).layout == layout
    users_own = DSR(layout)
    users_own.load_state_dict(written, strict=True)
    x_BCHW = torch.rand(1, 3, 4, 4)
    torch.testing.assert_close(users_own(x_BCHW), dsr(x_BCHW))
