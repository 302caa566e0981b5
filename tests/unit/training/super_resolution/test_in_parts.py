"""Val and train go through memory some faces at a time, may be stopped in between, and are measured as if at once."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.support.image_files import image_files
from tests.unit.training.super_resolution.support import tiny_config
from worker.training.data.preprocess import Enlarge, EnlargeByDsr, enlarge_bicubic, resize_bicubic
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.models.embedding import embed
from worker.training.runtime.control import Control, StopRequested
from worker.training.runtime.cpu_parallel import SINGLE_THREAD
from worker.training.super_resolution.comparison import verdict_of
from worker.training.super_resolution.initialise import new_dsr
from worker.training.super_resolution.preparation import embed_both_ways
from worker.training.super_resolution.quality import psnr, ssim
from worker.training.super_resolution.val_faces import ValFaces, enlarge_val, val_faces

CPU = torch.device("cpu")
SIZES = (12, 16)
FACES = 290
MOST_AT_ONCE = 256


@pytest.fixture(scope="module")
def edgeface(shared_assets: Path) -> EdgeFace:
    network, _ = load_edgeface(shared_assets / "weights" / "edgeface_xxs.pt", CPU)
    return network.eval()


@pytest.fixture(scope="module")
def paths(shared_assets: Path) -> tuple[Path, ...]:
    return tuple(sorted((shared_assets / "faces" / "orl_aligned").glob("*/*.png"))[:FACES])


@pytest.fixture(scope="module")
def hr_faces(paths: tuple[Path, ...]) -> Tensor:
    images = []
    for path in paths:
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB")))
    return enlarge_bicubic(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))


@pytest.fixture(scope="module")
def val(paths: tuple[Path, ...], hr_faces: Tensor, edgeface: EdgeFace) -> ValFaces:
    return val_faces(image_files(paths), hr_faces, SIZES, edgeface, CPU)


def recorded(enlarge: Enlarge, at_once: list[int]) -> Enlarge:
    def enlarge_and_record(vlr_u8_NCHW: Tensor) -> Tensor:
        at_once.append(len(vlr_u8_NCHW))
        return enlarge(vlr_u8_NCHW)

    return enlarge_and_record


def stop_after(faces: int) -> Callable[[int], None]:
    """A control's answer to each report, with the stop asked for once so many faces are done."""
    control, left = Control(), [faces]

    def on_faces(count: int) -> None:
        left[0] -= count
        if left[0] <= 0:
            control.stop.set()
        control.refuse_if_stopped()

    return on_faces


@pytest.mark.slow
def test_val_measured_some_faces_at_a_time_is_val_measured_at_once(
    val: ValFaces, hr_faces: Tensor, edgeface: EdgeFace
) -> None:
    at_once: list[int] = []
    heard: list[int] = []
    enlarged = enlarge_val(val, recorded(enlarge_bicubic, at_once), edgeface, CPU, heard.append, parallel=SINGLE_THREAD)
    assert heard == at_once
    assert sum(heard) == FACES * len(SIZES)
    assert max(at_once) <= MOST_AT_ONCE
    decibels, similar, cosines = [], [], []
    for size in SIZES:
        assert torch.equal(val.vlr_u8[size], resize_bicubic(hr_faces, size))
        faces_u8_NCHW = enlarge_bicubic(val.vlr_u8[size])
        e_ND = embed(edgeface, faces_u8_NCHW, CPU)
        torch.testing.assert_close(enlarged.e_ND[size], e_ND, atol=1e-6, rtol=0)
        decibels.append(psnr(faces_u8_NCHW, hr_faces))
        similar.append(ssim(faces_u8_NCHW, hr_faces))
        cosines.append((e_ND * val.hr_e_ND).sum(1))
    assert enlarged.psnr == torch.cat(decibels).mean().item()
    assert enlarged.ssim == pytest.approx(torch.cat(similar).mean().item(), abs=1e-6)
    assert enlarged.identity == pytest.approx(torch.cat(cosines).mean().item(), abs=1e-6)


def test_val_stops_before_all_of_it_is_enlarged(val: ValFaces, edgeface: EdgeFace) -> None:
    at_once: list[int] = []
    with pytest.raises(StopRequested):
        enlarge_val(val, recorded(enlarge_bicubic, at_once), edgeface, CPU, stop_after(1), parallel=SINGLE_THREAD)
    assert sum(at_once) < FACES


def test_val_stops_before_all_of_it_is_reduced(paths: tuple[Path, ...], hr_faces: Tensor, edgeface: EdgeFace) -> None:
    with pytest.raises(StopRequested):
        val_faces(image_files(paths), hr_faces, SIZES, edgeface, CPU, stop_after(1))
    heard: list[int] = []
    val_faces(image_files(paths[:3]), hr_faces[:3], SIZES, edgeface, CPU, heard.append)
    assert heard == [3, 3]  # reduced, and embedded


def test_a_network_stops_while_it_enlarges(val: ValFaces) -> None:
    dsr = new_dsr(tiny_config(factors=[2, 4]).layout, seed=0).eval()
    heard: list[int] = []
    EnlargeByDsr(dsr, Path("dsr.pth"), CPU, heard.append)(val.vlr_u8[16][:64])
    assert sum(heard) == 64
    assert len(heard) > 1
    with pytest.raises(StopRequested):
        EnlargeByDsr(dsr, Path("dsr.pth"), CPU, stop_after(1))(val.vlr_u8[16][:64])


def test_train_is_embedded_both_ways_some_faces_at_a_time(hr_faces: Tensor, edgeface: EdgeFace) -> None:
    heard: list[int] = []
    e_2ND = embed_both_ways(edgeface, hr_faces, CPU, heard.append, parallel=SINGLE_THREAD)
    torch.testing.assert_close(e_2ND[0], embed(edgeface, hr_faces, CPU), atol=1e-6, rtol=0)
    torch.testing.assert_close(e_2ND[1], embed(edgeface, hr_faces.flip(3), CPU), atol=1e-6, rtol=0)
    assert sum(heard) == 2 * FACES
    assert max(heard) <= MOST_AT_ONCE


def test_the_verdict_stops_between_its_comparisons(val: ValFaces, edgeface: EdgeFace) -> None:
    few = val_faces(val.images[:20], val.hr_u8_NCHW[:20], SIZES, edgeface, CPU)
    enlarged = enlarge_val(few, enlarge_bicubic, edgeface, CPU, parallel=SINGLE_THREAD)
    heard: list[None] = []
    verdict_of({"direct": enlarged, "bicubic": enlarged, "dsr": enlarged}, lambda: heard.append(None))
    assert len(heard) == 3 * len(SIZES)
