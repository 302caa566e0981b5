"""Faces enlarged by the DSR network of the guide's size: how many a second, and how far from the CPU's."""

import copy
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.gpu_check.check import Check
from benchmarks.training.data import VLR_SIZE, pixel_repeating_dsr
from worker.training.data.fp16_enlargement import MOST_LEVELS, fp16_enlargement
from worker.training.data.preprocess import Enlarge, EnlargeByDsr
from worker.training.models.dsr import DSR
from worker.training.runtime.device import choose_device

_PATH = Path("dsr.pth")


def run(check: Check) -> None:
    check.section(enlarge_faces)


def enlarge_faces(check: Check) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (check.pick(2048, 8), 3, VLR_SIZE, VLR_SIZE)
    vlr_u8_NCHW = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    dsr = _disturbed(pixel_repeating_dsr(), generator)
    some = vlr_u8_NCHW[: check.pick(64, 4)]
    wanted = _in_float32(dsr, torch.device("cpu"))(some)
    device = choose_device(str(check.device))
    in_float32 = _in_float32(dsr, device)
    _compare(check, "float32", in_float32, vlr_u8_NCHW, wanted)
    in_fp16 = fp16_enlargement(dsr, _PATH, device, in_float32, "auto")
    if in_fp16 is not None:
        in_fp16(some)  # compares itself with float32
        check.require("fp16 is used", in_fp16.precision == "fp16", in_fp16.precision)
        _compare(check, "fp16", in_fp16, vlr_u8_NCHW, wanted)


def _compare(check: Check, name: str, enlarge: Enlarge, vlr_u8_NCHW: Tensor, wanted_u8_NCHW: Tensor) -> None:
    seconds = check.time(lambda: enlarge(vlr_u8_NCHW), check.pick(5, 2))
    check.measured(name, [len(vlr_u8_NCHW) / each for each in seconds], "images/s")
    differences = (enlarge(vlr_u8_NCHW[: len(wanted_u8_NCHW)]).int() - wanted_u8_NCHW.int()).abs()
    check.note(f"{name}: share of values that differ from the CPU's", float((differences > 0).double().mean()))
    check.at_most(f"{name}: largest difference from the CPU's", int(differences.max()), MOST_LEVELS, "of 255")


def _in_float32(dsr: DSR, device: torch.device) -> EnlargeByDsr:
    return EnlargeByDsr(copy.deepcopy(dsr).eval().requires_grad_(False), _PATH, device)


@torch.no_grad()
def _disturbed(dsr: DSR, generator: torch.Generator) -> DSR:
    """With weights that are not zero."""
    for parameter in dsr.parameters():
        parameter.add_(0.01 * _normal(parameter, generator))
    return dsr


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator)
