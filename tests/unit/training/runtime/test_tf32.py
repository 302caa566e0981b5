"""Float32 on a GPU is IEEE float32, except in the steps of a DSR network."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.pretended_gpu import pretended_gpu
from tests.unit.training.super_resolution.support import tiny_config
from tests.unit.training.support import write_training
from worker.training.runtime.device import choose_device
from worker.training.runtime.tf32 import forbid_tf32, tf32_convolutions
from worker.training.super_resolution.train_dsr import train_dsr

BACKENDS: Any = torch.backends


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    """As PyTorch has them; restored afterwards."""
    before = BACKENDS.cuda.matmul.fp32_precision
    BACKENDS.cuda.matmul.fp32_precision, BACKENDS.cudnn.allow_tf32 = "tf32", True
    yield
    BACKENDS.cuda.matmul.fp32_precision, BACKENDS.cudnn.allow_tf32 = before, True


@pytest.mark.parametrize("name", ["auto", "cuda", "cuda:0"])
def test_whoever_takes_a_gpu_forbids_tf32(name: str) -> None:
    with pretended_gpu():
        choose_device(name)
    assert (BACKENDS.cuda.matmul.fp32_precision, BACKENDS.cudnn.conv.fp32_precision) == ("ieee", "ieee")


def test_other_code_can_read_the_settings_of_cudnn_in_both_interfaces() -> None:
    forbid_tf32()
    assert_readable(allowed=False)
    with tf32_convolutions():
        assert_readable(allowed=True)
    assert_readable(allowed=False)


def assert_readable(*, allowed: bool) -> None:
    assert BACKENDS.cudnn.allow_tf32 == allowed
    with BACKENDS.cudnn.flags(enabled=True, allow_tf32=not allowed):
        assert (BACKENDS.cudnn.conv.fp32_precision == "tf32") != allowed
    assert BACKENDS.cudnn.allow_tf32 == allowed
    assert (BACKENDS.cudnn.conv.fp32_precision == "tf32") == allowed


class Convolutions(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes whether TF32 was allowed in convolutions, forwards with gradients, backwards and in inference."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.found: set[tuple[str, str]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "conv" in (name := str(func)):
            inference = "inference" if torch.is_inference_mode_enabled() else "training"
            kind = "backward" if "backward" in name else inference
            self.found.add((kind, BACKENDS.cudnn.conv.fp32_precision))
        return func(*args, **(kwargs or {}))


def test_a_dsr_network_trains_in_tf32_and_is_validated_in_float32(tmp_path: Path) -> None:
    config = tiny_config(epochs=1, allowed_leaks=("*",))
    forbid_tf32()  # as on a GPU
    with Convolutions() as convolutions:
        train_dsr(config, write_training(tmp_path), lambda _: None)
    assert ("training", "tf32") in convolutions.found, "blurs and SSIM, besides the networks, are in float32"
    others = {each for each in convolutions.found if each[0] != "training"}
    assert others == {("backward", "tf32"), ("inference", "ieee")}
