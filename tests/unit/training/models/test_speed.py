"""A guard against losing what made training fast: ratios of processor time, of pairs measured one after the other."""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worker.training.models.edgeface import new_edgeface
from worker.training.models.embedding import embed_faces
from worker.training.runtime.device import choose_precision

CPU = torch.device("cpu")
PAIRS = 9
# 0.96 was seen on a shared machine where 1.08 is usual: as much less than that again is no noise.
NOT_LOST = 0.85


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def processor_seconds(compute: Callable[[], object]) -> float:
    started = time.process_time()
    compute()
    return time.process_time() - started


def ratio(theirs: Callable[[], object], ours: Callable[[], object]) -> float:
    """How many times as long theirs takes: the median of pairs, after one that warms up."""
    pairs = [processor_seconds(theirs) / processor_seconds(ours) for _ in range(1 + PAIRS)]
    return statistics.median(pairs[1:])


def test_a_step_is_not_slower_than_with_the_network_as_timm_has_it() -> None:
    theirs = timm.create_model("edgenext_xx_small", num_classes=512).train()
    ours = new_edgeface("edgeface_xxs", seed=0).train()
    precision = choose_precision("auto", CPU)
    x_BCHW = torch.rand(32, 3, 112, 112, generator=torch.Generator().manual_seed(0))

    def step(network: nn.Module, embed: Callable[[Tensor], Tensor]) -> None:
        torch.autograd.grad(F.normalize(embed(x_BCHW).float()).sum(), list(network.parameters()))

    our_step = partial(step, ours, partial(embed_faces, ours, precision=precision))

    # 1.07 in float32 and 1.4 in bf16 on an Intel Xeon with AMX, 1.35 in float32 on an AMD EPYC.
    assert ratio(lambda: step(theirs, theirs), our_step) > NOT_LOST
