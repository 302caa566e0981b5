"""The losses of a DSR network: none for equal faces, and gradients that reach every weight."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from app.finetune.architectures import DsrLayout
from tests.unit.training.super_resolution.support import tiny_config
from worker.training.data.preprocess import enlarge_bicubic, enlarge_images, resize_bicubic
from worker.training.models.edgeface import EdgeFace, load_edgeface
from worker.training.models.embedding import embed
from worker.training.super_resolution.initialise import new_dsr
from worker.training.super_resolution.loop import to_face
from worker.training.super_resolution.losses import identity_distance, losses_of, pixel_distance, see


@pytest.fixture(scope="module")
def edgeface(shared_assets: Path) -> EdgeFace:
    network, _ = load_edgeface(shared_assets / "weights" / "edgeface_xxs.pt")
    return network.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def faces_u8(shared_assets: Path) -> Tensor:
    """Two people, two images each."""
    names = ("s01/01", "s01/02", "s02/01", "s02/02")
    paths = [shared_assets / "faces" / "orl_aligned" / f"{name}.png" for name in names]
    return torch.cat([faces.pixels_u8 for faces in enlarge_images(paths, enlarge_bicubic, threads=0)])


def test_what_is_seen_is_what_the_backbone_embeds(edgeface: EdgeFace, faces_u8: Tensor) -> None:
    seen = see(edgeface, faces_u8.float() / 255)
    torch.testing.assert_close(seen.e_BD, embed(edgeface, faces_u8, torch.device("cpu")), atol=1e-5, rtol=0)
    assert [each.shape[2] for each in seen.maps] == [28, 28, 14]


def test_equal_faces_have_no_loss(edgeface: EdgeFace, faces_u8: Tensor) -> None:
    x_BCHW = faces_u8.float() / 255
    for kind in ("l1", "charbonnier"):
        losses = losses_of(tiny_config(pixel_loss=kind), edgeface, x_BCHW, x_BCHW, see(edgeface, x_BCHW).e_BD)
        for loss in (losses.total, losses.pixel, losses.perceptual, losses.identity):
            torch.testing.assert_close(loss, torch.zeros(4), atol=1e-6, rtol=0)


def test_the_identity_loss_is_lower_for_the_same_person(edgeface: EdgeFace, faces_u8: Tensor) -> None:
    e_BD = see(edgeface, faces_u8.float() / 255).e_BD
    same, other = identity_distance(e_BD[[0, 2]], e_BD[[1, 3]]), identity_distance(e_BD[[0, 1]], e_BD[[2, 3]])
    assert same.max() < other.min()


@pytest.mark.parametrize("kind", ["l1", "charbonnier"])
def test_the_pixel_loss_is_about_the_mean_difference(kind: str) -> None:
    x_BCHW = torch.zeros(2, 3, 8, 8)
    found = pixel_distance(x_BCHW, x_BCHW + torch.tensor([0.1, 0.5]).view(2, 1, 1, 1), kind)
    torch.testing.assert_close(found, torch.tensor([0.1, 0.5]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("weight", ["pixel_weight", "perceptual_weight", "identity_weight"])
def test_each_loss_alone_moves_every_weight_and_leaves_edgeface_alone(
    edgeface: EdgeFace, faces_u8: Tensor, weight: str
) -> None:
    config = tiny_config(**{"pixel_weight": 0, "perceptual_weight": 0, "identity_weight": 0, weight: 1.0})
    dsr = new_dsr(DsrLayout(16, 1, (2, 4), 1), seed=0)
    x_BCHW = faces_u8.float() / 255
    enlarged = to_face(dsr(resize_bicubic(faces_u8, 16).float() / 255))
    losses_of(config, edgeface, enlarged, x_BCHW, see(edgeface, x_BCHW).e_BD).total.sum().backward()  # type: ignore[no-untyped-call]
    # conv1 of a block is behind conv2, which is zero before the first step.
    still = {name for name, each in dsr.named_parameters() if each.grad is None or not each.grad.any()}
    assert still == {"residual_blocks.0.conv1.weight", "residual_blocks.0.conv1.bias"}
    assert all(each.grad is None for each in edgeface.parameters())


def test_a_pixel_that_left_the_range_is_drawn_back(edgeface: EdgeFace, faces_u8: Tensor) -> None:
    hr_BCHW = faces_u8.float() / 255
    enlarged = (hr_BCHW + 2).requires_grad_()
    config = tiny_config(perceptual_weight=0, identity_weight=0)
    losses_of(config, edgeface, enlarged, hr_BCHW, see(edgeface, hr_BCHW).e_BD).total.sum().backward()  # type: ignore[no-untyped-call]
    assert enlarged.grad is not None
    assert (enlarged.grad > 0).all()
