"""What a DSR network may cost, wherever it is used."""

from pathlib import Path

import pytest
import torch

from app.finetune.architectures import DsrLayout
from app.finetune.network_limits import enlargement_problem, products_for, refuse_too_large
from app.finetune.weights_errors import WeightsTooLarge
from app.inputs.weights_file import check_enlarging
from worker.training.data.preprocess import EnlargeByDsr
from worker.training.models.dsr import DSR

GUIDE = DsrLayout(channels=64, blocks=8, factors=(2, 5), prelu_parameters=1)
LARGE = DsrLayout(channels=1, blocks=0, factors=(8, 8), prelu_parameters=1)


@pytest.mark.parametrize("side", [4, 16, 40, 112])
def test_the_guides_network_may_enlarge_any_face(side: int) -> None:
    assert enlargement_problem(GUIDE, side, side) is None


@pytest.mark.parametrize(
    ("layout", "width", "height", "said"),
    [
        (LARGE, 33, 1, "33 x 1 px to 2,112 x 64 px; 2,048 px is the longest side"),
        (DsrLayout(256, 1, (8,), 1), 100, 100, "163,840,000 values; 134,217,728 is the most"),
        (DsrLayout(256, 64, (), 1), 512, 512, "multiplications; 274,877,906,944 is the most"),
    ],
)
def test_the_first_limit_that_is_exceeded_is_named(layout: DsrLayout, width: int, height: int, said: str) -> None:
    assert said in (enlargement_problem(layout, width, height) or "")


def test_multiplications_are_those_of_the_convolutions() -> None:
    layout = DsrLayout(channels=3, blocks=2, factors=(2,), prelu_parameters=1)
    convolutions = [module for module in DSR(layout).modules() if isinstance(module, torch.nn.Conv2d)]
    pixels = [5 * 4] * (len(convolutions) - 1) + [10 * 8]
    counted = sum(conv.weight.numel() * count for conv, count in zip(convolutions, pixels, strict=True))
    assert products_for(layout, 5, 4) == counted


def test_a_network_refuses_an_image_that_is_too_large_for_it_before_it_computes(tmp_path: Path) -> None:
    path = tmp_path / "dsr.pth"
    torch.save(DSR(LARGE).state_dict(), path)
    enlarge = EnlargeByDsr(DSR(LARGE).eval(), path, torch.device("cpu"))
    with pytest.raises(WeightsTooLarge, match=r"dsr\.pth: the network is too large to be used"):
        enlarge(torch.zeros(1, 3, 40, 40, dtype=torch.uint8))
    assert enlarge(torch.zeros(1, 3, 4, 4, dtype=torch.uint8)).shape == (1, 3, 112, 112)
    assert check_enlarging(path, None) == check_enlarging(path, 4) == []
    with pytest.raises(WeightsTooLarge, match="40 x 40 px to 2,560 x 2,560 px"):
        check_enlarging(path, 40)
    with pytest.raises(WeightsTooLarge, match="the new network"):
        refuse_too_large(LARGE, [4, 40], "the new network")
