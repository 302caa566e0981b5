"""Views: which face is shown, how large, and that it is that face."""

import math
from collections import Counter

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.finetune.config import FACE_SIZE, FACES_OF_EACH
from tests.unit.training.support import tiny_config
from worker.training.data.augment import augment
from worker.training.data.multi_scale import VLR_IMAGE, DrawnViews, draw_views, identities_of, make_views
from worker.training.data.preprocess import enlarge_bicubic, resize_bicubic, to_u8


def noise(count: int, seed: int) -> Tensor:
    return torch.randint(256, (count, 3, 112, 112), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def draw(faces: int, seed: int = 0, **changes: object) -> DrawnViews:
    config = tiny_config(**{"recipe": "recommended", **changes})
    return draw_views(config, faces, torch.Generator().manual_seed(seed))


def test_shares_and_sizes_are_those_of_the_config() -> None:
    drawn = draw(20_000, vlr_share=0.1, hr_share=0.3, smallest_view=8, largest_view=32)
    given = drawn.synthetic_B == VLR_IMAGE
    large = ~given & (drawn.sizes_B == FACE_SIZE)
    reduced = drawn.sizes_B[~given & ~large]
    assert math.isclose(given.float().mean(), 0.1, abs_tol=0.02)
    assert math.isclose(large.float().mean(), 0.3, abs_tol=0.02)
    assert (int(reduced.min()), int(reduced.max())) == (8, 32)
    assert math.isclose((reduced <= 16).float().mean(), 0.5, abs_tol=0.04), "each octave is as frequent"


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 400), st.integers(1, 30), st.integers(0, 2**31))
def test_no_synthetic_face_is_shown_twice_before_all_were(faces: int, people: int, seed: int) -> None:
    drawn = draw(faces, seed, synthetic_identities=people, vlr_share=0.0)
    assert len(drawn.synthetic_B) == len(drawn.sizes_B) == faces
    shown = Counter(drawn.synthetic_B.tolist())
    assert set(shown) <= set(range(people * FACES_OF_EACH))
    most, every = -(-faces // (people * FACES_OF_EACH)), faces // (people * FACES_OF_EACH)
    assert max(shown.values()) <= most
    assert all(shown[face] >= every for face in range(people * FACES_OF_EACH))


def test_each_view_is_the_face_that_it_says() -> None:
    synthetic, vlr = noise(5, 0), noise(4, 1)
    drawn = DrawnViews(torch.tensor([3, VLR_IMAGE, 0, 3]), torch.tensor([FACE_SIZE, FACE_SIZE, 9, 16]))
    order, drawn_4 = torch.tensor([0, 2, 1, 3]), torch.rand(4, 4, generator=torch.Generator().manual_seed(2))
    views = make_views(drawn, synthetic, enlarge_bicubic, vlr, order, drawn_4)
    expected = [
        synthetic[3:4],
        to_u8(augment(vlr[2:3], drawn_4[:, 1:2])),
        enlarge_bicubic(resize_bicubic(synthetic[:1], 9)),
        enlarge_bicubic(resize_bicubic(synthetic[3:4], 16)),
    ]
    assert torch.equal(views, torch.cat(expected))


def test_the_label_of_a_view_is_the_identity_of_its_face() -> None:
    """Synthetic identities come first, 8 faces each, then the real ones by class id."""
    drawn = DrawnViews(torch.tensor([0, 7, VLR_IMAGE, 8, 23, VLR_IMAGE]), torch.full((6,), FACE_SIZE))
    identities = identities_of(drawn, torch.tensor([1, 1, 1, 0, 0, 0]), 3)
    assert identities.tolist() == [0, 0, 3 + 1, 1, 2, 3 + 0]


def test_a_view_is_the_same_whatever_it_is_made_with() -> None:
    synthetic, vlr, faces = noise(16, 0), noise(6, 1), 12
    drawn, drawn_4 = draw(faces, synthetic_identities=2, vlr_share=0.3), torch.rand(4, faces)
    order = torch.arange(faces) % 6
    whole = make_views(drawn, synthetic, enlarge_bicubic, vlr, order, drawn_4)
    parts = [
        make_views(drawn.at(part), synthetic, enlarge_bicubic, vlr, order[part], drawn_4[:, part])
        for part in (slice(0, 5), slice(5, 6), slice(6, 12))
    ]
    assert torch.equal(torch.cat(parts), whole)
