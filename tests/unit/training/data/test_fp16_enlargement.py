"""DSR in fp16 makes the faces of float32, or gives way to it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.finetune.architectures import DsrLayout
from app.finetune.events import Prepared
from app.finetune.training_errors import EnlargementNotFinite
from tests.pretended_gpu import pretended_gpu
from tests.unit.training.support import run_unpredicted, write_training
from worker.training.data.face_cache import prepared_key
from worker.training.data.fp16_enlargement import Fp16Enlargement, fp16_enlargement
from worker.training.data.preprocess import Enlarge, EnlargeByDsr
from worker.training.models.dsr import DSR
from worker.training.super_resolution.initialise import new_dsr

GPU = torch.device("cuda:0")
DSR_FILE = Path("dsr.pth")


def images(count: int = 3) -> Tensor:
    return torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def small_dsr() -> DSR:
    return new_dsr(DsrLayout(channels=8, blocks=2, factors=(2,), prelu_parameters=1), seed=0).eval()


def offset(levels: int) -> Enlarge:
    return lambda vlr_u8_NCHW: (vlr_u8_NCHW // 2).add(levels)


def raises(error: Exception) -> Enlarge:
    def enlarge(_: Tensor) -> Tensor:
        raise error

    return enlarge


@pytest.mark.parametrize(
    ("in_fp16", "precision"),
    [
        (offset(0), "fp16"),
        (offset(1), "fp16"),
        (offset(2), "float32"),
        (raises(EnlargementNotFinite(DSR_FILE, 1)), "float32"),
        (raises(RuntimeError("GET was unable to find an engine to execute this computation")), "float32"),
    ],
    ids=["equal", "rounded", "too far", "not finite", "no kernel"],
)
def test_fp16_stays_within_a_rounding_of_float32(in_fp16: Enlarge, precision: str) -> None:
    enlarge = Fp16Enlargement(in_fp16, offset(0))
    assert torch.equal(enlarge(images()), offset(0)(images()))
    assert enlarge.precision == precision
    expected = in_fp16 if precision == "fp16" else offset(0)
    assert torch.equal(enlarge(images()), expected(images())), "the first call decides"


def test_later_faces_that_are_not_finite_are_made_in_float32() -> None:
    calls = iter([offset(0), raises(EnlargementNotFinite(DSR_FILE, 1))])
    enlarge = Fp16Enlargement(lambda vlr_u8_NCHW: next(calls)(vlr_u8_NCHW), offset(0))
    for _ in range(3):
        assert torch.equal(enlarge(images()), offset(0)(images()))
    assert enlarge.precision == "float32"


def test_another_error_is_raised() -> None:
    with pytest.raises(RuntimeError, match="illegal"):
        Fp16Enlargement(raises(RuntimeError("an illegal memory access")), offset(0))(images())


@pytest.mark.parametrize(("scale", "precision"), [(1.0, "fp16"), (1e6, "float32")])
def test_a_network_computes_in_fp16_on_a_gpu_if_its_weights_fit_and_stays_as_it_is(
    scale: float, precision: str
) -> None:
    dsr = small_dsr()
    dsr.conv_in.weight.data *= scale
    with pretended_gpu():
        in_float32 = EnlargeByDsr(dsr, DSR_FILE, GPU)
        enlarge = fp16_enlargement(dsr, DSR_FILE, GPU, in_float32, "auto")
        assert enlarge is not None
        enlarge(images())
        assert enlarge.precision == precision
        assert {parameter.dtype for parameter in dsr.parameters()} == {torch.float32}
        faces_u8_NCHW, expected_u8_NCHW = enlarge(images()), in_float32(images())
    assert (faces_u8_NCHW.short() - expected_u8_NCHW.short()).abs().max() <= 1


@pytest.mark.parametrize(
    ("device", "capability", "mixed_precision"),
    [("cpu", (9, 0), "auto"), ("cuda:0", (6, 0), "auto"), ("cuda:0", (9, 0), "off")],
)
def test_where_all_faces_are_in_float32(device: str, capability: tuple[int, int], mixed_precision: str) -> None:
    with pretended_gpu(capability=capability):
        assert fp16_enlargement(small_dsr(), DSR_FILE, torch.device(device), offset(0), mixed_precision) is None


def test_faces_in_fp16_have_a_name_of_their_own_and_those_in_float32_the_one_they_had() -> None:
    key = prepared_key("images", enlargement="dsr", vlr_size=16)
    assert key == "14a0e04f156b734787180036ecb3aa0171c64e46bc934edade70aab787074125"
    assert prepared_key("images", enlargement="dsr", vlr_size=16, precision="fp16") != key


@pytest.mark.slow
def test_a_training_on_a_gpu_prepares_train_in_fp16_and_val_in_float32(tmp_path: Path) -> None:
    files = replace(write_training(tmp_path), dsr=tmp_path / "dsr.pth")
    assert files.dsr
    torch.save(small_dsr().state_dict(), files.dsr)
    on_cpu = {"dsr": "dsr.pth", "stage1_epochs": 1, "stage2_epochs": 1}
    run_unpredicted(files, **on_cpu)
    made_on_cpu = set(files.prepared_dir.glob("*.npy"))
    with pretended_gpu():
        _, events = run_unpredicted(
            replace(files, output_dir=tmp_path / "2"), **on_cpu | {"device": "cuda", "mixed_precision": "bf16"}
        )
    (prepared,) = [event for event in events if isinstance(event, Prepared)]
    assert prepared.enlargement.endswith(", train in fp16")
    assert len(set(files.prepared_dir.glob("*.npy")) - made_on_cpu) == 1, "train's; val's are those of the CPU"
