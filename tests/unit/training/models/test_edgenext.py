"""EdgeNeXt's blocks as we compute them against timm's."""

import pytest
import timm
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from app.finetune.architectures import EDGEFACE_VARIANTS
from worker.training.models.depthwise import depthwise
from worker.training.models.edgeface import EdgeFace
from worker.training.models.edgenext import reduce_rank, replace_blocks


def faces(count: int) -> Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.fixture(params=EDGEFACE_VARIANTS)
def pair(request: pytest.FixtureRequest) -> tuple[nn.Module, nn.Module]:
    """timm's network, its layer scales so that every block counts, and ours with the same weights."""
    variant = EDGEFACE_VARIANTS[request.param]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs: nn.Module = timm.create_model(variant.timm_name, num_classes=512)
        if variant.gamma is not None:
            reduce_rank(theirs, variant.gamma)
        for name, parameter in theirs.named_parameters():
            if "gamma" in name:
                nn.init.uniform_(parameter, 0.5, 1.5)
    ours = EdgeFace(variant).model
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def test_the_network_is_that_of_timm(pair: tuple[nn.Module, nn.Module]) -> None:
    theirs, ours = pair
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    x_BCHW = faces(3)
    expected_BD, found_BD = theirs(x_BCHW), ours(x_BCHW)
    torch.testing.assert_close(found_BD, expected_BD, rtol=0, atol=1e-5)
    for e_BD in (expected_BD, found_BD):
        F.normalize(e_BD).pow(3).sum().backward()  # type: ignore[no-untyped-call]
    for (name, wanted), parameter in zip(theirs.named_parameters(), ours.parameters(), strict=True):
        assert wanted.grad is not None
        assert parameter.grad is not None, name
        torch.testing.assert_close(
            parameter.grad, wanted.grad, rtol=1e-4, atol=1e-4 * wanted.grad.abs().max().item(), msg=name
        )


def test_the_products_alone_are_in_bf16() -> None:
    edgeface = EdgeFace(EDGEFACE_VARIANTS["edgeface_xxs"])
    x_BCHW = faces(3)
    dtypes: dict[str, torch.dtype] = {}
    for name, module in edgeface.named_modules():
        if isinstance(module, nn.Conv2d | nn.LayerNorm):
            module.register_forward_hook(lambda _, __, made, name=name: dtypes.__setitem__(name, made.dtype))
    expected_BD = edgeface(x_BCHW)
    found_BD = edgeface(x_BCHW, torch.bfloat16)
    assert set(dtypes.values()) == {torch.float32}
    assert not torch.equal(found_BD, expected_BD)
    assert F.cosine_similarity(found_BD, expected_BD).min() > 0.999


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Dynamo detected", "ignore:.*should not be instantiated")
@pytest.mark.parametrize("products_in", [None, torch.bfloat16])
def test_a_step_compiles_as_one_graph(products_in: torch.dtype | None) -> None:
    edgeface, x_BCHW = EdgeFace(EDGEFACE_VARIANTS["edgeface_xxs"]).train(), faces(2)
    parameters = list(edgeface.parameters())
    compiled = torch.compile(edgeface, fullgraph=True, backend="aot_eager")
    expected, found = (
        torch.autograd.grad(F.normalize(network(x_BCHW, products_in)).pow(3).sum(), parameters)
        for network in (edgeface, compiled)
    )
    assert all(map(torch.equal, found, expected))


def test_a_network_without_such_blocks_stays_as_it_is() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Linear(2, 2)))
    replace_blocks(network)
    assert str(network) == str(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.Linear(2, 2))))


@settings(max_examples=30, deadline=None)
@given(
    batch=st.integers(1, 4),
    channels=st.integers(1, 5),
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    reach=st.integers(0, 4),
    seed=st.integers(0, 2**32),
)
def test_the_gradients_of_a_depthwise_convolution_are_those_of_pytorch(
    batch: int, channels: int, height: int, width: int, reach: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    conv = nn.Conv2d(channels, channels, 2 * reach + 1, padding=reach, groups=channels).double()
    x_BCHW = torch.randn(batch, channels, height, width, generator=generator, dtype=torch.double, requires_grad=True)
    grad_BCHW = torch.randn(batch, channels, height, width, generator=generator, dtype=torch.double)
    inputs = [x_BCHW, *conv.parameters()]
    expected = torch.autograd.grad(conv(x_BCHW), inputs, grad_BCHW)
    torch.testing.assert_close(depthwise(x_BCHW, conv), conv(x_BCHW))
    torch.testing.assert_close(torch.autograd.grad(depthwise(x_BCHW, conv), inputs, grad_BCHW), expected)
