"""From files to faces: colour order, sizes, resampling, and what a broken DSR gives."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from app.drawn_faces import draw_face
from app.finetune.architectures import DsrLayout
from app.finetune.training_errors import EnlargementNotFinite
from tests.pretended_gpu import pretended_gpu
from worker.training.data.preprocess import (
    Enlarge,
    EnlargeByDsr,
    Faces,
    decode,
    enlarge_bicubic,
    enlarge_bilinear,
    enlarge_images,
    resize_bicubic,
)
from worker.training.models.dsr import DSR
from worker.training.models.edgeface import normalise

CPU = torch.device("cpu")


def pass_through_dsr(gain: float = 1, offset: float = 0) -> Enlarge:
    """A DSR network that enlarges 10 times by repeating pixels: out comes `gain` times what went in, plus `offset`."""
    dsr = DSR(DsrLayout(channels=3, blocks=1, factors=(2, 5), prelu_parameters=1)).requires_grad_(requires_grad=False)
    for parameter in dsr.parameters():
        parameter.zero_()
    for convolution in (dsr.conv_in, dsr.conv_out):
        convolution.weight[range(3), range(3), 1, 1] = 1
    dsr.conv_out.weight.mul_(gain)
    dsr.conv_out.bias.fill_(offset)  # type: ignore[union-attr]
    for upsampler in dsr.upsamplers:
        weight = upsampler.get_parameter("0.weight")
        for out in range(len(weight)):
            weight[out, out // (len(weight) // 3), 1, 1] = 1
    return EnlargeByDsr(dsr.eval(), Path("dsr.pth"), CPU)


def prepared(
    paths: list[Path], enlarge: Enlarge = enlarge_bicubic, vlr_size: int | None = None, threads: int = 0
) -> Faces:
    chunks = list(enlarge_images(paths, enlarge, threads=threads, vlr_size=vlr_size))
    return Faces(torch.cat([chunk.pixels_u8 for chunk in chunks]), sum((chunk.sizes for chunk in chunks), Counter()))


def write(path: Path, width: int, height: int, shade: tuple[int, int, int] = (10, 20, 30)) -> Path:
    Image.new("RGB", (width, height), shade).save(path)
    return path


@pytest.mark.parametrize("enlarge", [enlarge_bicubic, pass_through_dsr()], ids=["bicubic", "dsr"])
def test_a_red_image_stays_red_in_channel_0(enlarge: Enlarge, tmp_path: Path) -> None:
    red = write(tmp_path / "red.png", 16, 16, (255, 0, 0))
    face_CHW = normalise(prepared([red], enlarge).pixels_u8)[0]
    assert face_CHW.shape == (3, 112, 112)
    assert (face_CHW[0] == 1).all()
    assert (face_CHW[1:] == -1).all()


def test_dsr_is_followed_by_a_clamp_and_an_antialiased_bilinear_reduction() -> None:
    vlr_u8 = torch.randint(256, (3, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    repeated = (3 * (vlr_u8 / 255) - 1).clamp(0, 1).repeat_interleave(10, 2).repeat_interleave(10, 3)
    expected = F.interpolate(repeated, (112, 112), mode="bilinear", antialias=True) * 255
    assert (pass_through_dsr(gain=3, offset=-1)(vlr_u8) - expected).abs().max() <= 0.51


def test_dsr_sees_every_image_once_whatever_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    vlr_u8 = torch.randint(256, (5, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    whole = pass_through_dsr()(vlr_u8)
    monkeypatch.setattr("worker.training.data.preprocess._DSR_PIXELS_ON_A_CPU", 160 * 160)
    assert torch.equal(pass_through_dsr()(vlr_u8), whole)


def test_a_dsr_that_overflows_is_refused() -> None:
    dsr = DSR(DsrLayout(channels=1, blocks=0, factors=(), prelu_parameters=1)).requires_grad_(requires_grad=False)
    dsr.conv_out.bias.fill_(torch.inf)  # type: ignore[union-attr]
    with pytest.raises(EnlargementNotFinite, match="for 2 images"):
        EnlargeByDsr(dsr, Path("dsr.pth"), CPU)(torch.zeros(2, 3, 16, 16, dtype=torch.uint8))


def test_on_a_gpu_a_dsr_that_overflows_is_refused_where_the_cpu_waits_anyway() -> None:
    dsr = DSR(DsrLayout(channels=1, blocks=0, factors=(), prelu_parameters=1)).requires_grad_(requires_grad=False)
    dsr.conv_out.bias.fill_(torch.inf)  # type: ignore[union-attr]
    with pretended_gpu() as gpu:
        enlarge = EnlargeByDsr(dsr, Path("dsr.pth"), torch.device("cuda", 0))
        vlr_u8 = torch.zeros(2, 3, 16, 16, dtype=torch.uint8).to("cuda")
        enlarge.refuse_not_finite()
        gpu.waits.clear()
        enlarge(vlr_u8)
        enlarge(vlr_u8[:1])
        assert not gpu.waits
        with pytest.raises(EnlargementNotFinite, match="for 3 images"):
            enlarge.refuse_not_finite()
        with pytest.raises(EnlargementNotFinite, match="for 2 images"):
            enlarge(vlr_u8.cpu())


def test_reducing_is_antialiased_as_in_pillow() -> None:
    face = draw_face(0, 0)
    pillow = np.asarray(face.resize((16, 16), Image.Resampling.BICUBIC)).astype(int)
    face_u8 = torch.from_numpy(np.array(face)).permute(2, 0, 1)[None]
    ours = resize_bicubic(face_u8, 16)[0].permute(1, 2, 0).numpy().astype(int)
    assert abs(pillow - ours).max() <= 1


def test_enlarging_has_pytorchs_sharper_kernel() -> None:
    edge_u8 = torch.zeros(1, 3, 16, 16, dtype=torch.uint8)
    edge_u8[..., 8:] = 100
    row = resize_bicubic(edge_u8, 112)[0, 0, 0].tolist()
    assert max(row) == 111, "a = -0.75 overshoots an edge by 11 %, a = -0.5 by 7 %"
    assert min(row) == 0


def test_hr_images_of_the_right_size_are_untouched(tmp_path: Path) -> None:
    face = draw_face(1, 0)
    face.save(tmp_path / "hr.png")
    assert np.array_equal(prepared([tmp_path / "hr.png"]).pixels_u8[0].permute(1, 2, 0).numpy(), np.asarray(face))


def test_images_of_several_sizes_keep_their_order(tmp_path: Path) -> None:
    sizes = [(16, 16), (24, 24), (16, 16), (20, 30)] * 20
    paths = [write(tmp_path / f"{i}.png", *size, (i, 2 * i, 0)) for i, size in enumerate(sizes)]
    faces = prepared(paths, threads=4)
    assert faces.pixels_u8[:, 0, 50, 50].tolist() == list(range(80))
    assert faces.sizes == Counter({(16, 16): 40, (24, 24): 20, (20, 30): 20})


def test_vlr_size_resamples_images_of_another_size(tmp_path: Path) -> None:
    draw_face(0, 0).save(tmp_path / "large.png")
    faces = prepared([tmp_path / "large.png"], vlr_size=12)
    expected = enlarge_bicubic(
        resize_bicubic(torch.from_numpy(decode(tmp_path / "large.png").copy()).permute(2, 0, 1)[None], 12)
    )
    assert torch.equal(faces.pixels_u8, expected)


@pytest.mark.parametrize(
    ("mode", "stored", "expected"),
    [
        ("L", 77, (77, 77, 77)),
        ("RGBA", (1, 2, 3, 255), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 0), (128,) * 3),
        ("I;16", 0x4D00, (77, 77, 77)),
        ("1", 1, (255,) * 3),
    ],
)
def test_other_modes_become_rgb(
    mode: str, stored: int | tuple[int, ...], expected: tuple[int, int, int], tmp_path: Path
) -> None:
    Image.new(mode, (4, 3), stored).save(tmp_path / "image.png")
    assert decode(tmp_path / "image.png").shape == (3, 4, 3)
    assert tuple(decode(tmp_path / "image.png")[0, 0]) == expected


def test_exif_orientation_is_obeyed(tmp_path: Path) -> None:
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert decode(tmp_path / "turned.jpg").shape == (8, 4, 3)


def test_normalise_has_mean_and_std_of_a_half() -> None:
    values: Tensor = normalise(torch.tensor([0, 51, 255], dtype=torch.uint8))
    torch.testing.assert_close(values, torch.tensor([-1.0, -0.6, 1.0]))
    torch.testing.assert_close(normalise(torch.tensor([0.0, 0.2, 1.0])), values)


def test_direct_feed_is_the_resize_that_follows_dsr() -> None:
    vlr_u8 = torch.randint(256, (2, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    by_hand = F.interpolate(vlr_u8.float() / 255, (112, 112), mode="bilinear").mul(255).round().to(torch.uint8)
    assert torch.equal(enlarge_bilinear(vlr_u8), by_hand)
    assert not torch.equal(enlarge_bilinear(vlr_u8), enlarge_bicubic(vlr_u8))
