"""The metrics of embeddings on a pretended GPU are those of the CPU, whatever the size of the blocks."""

from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch

from tests.pretended_gpu import pretended_gpu
from worker.training.metrics import FaceSet, count_pairs, faces, impostor_sample, pairs, score_pairs
from worker.training.metrics.identification import Mates, search


def some_faces(seed: int) -> FaceSet:
    # Sums of these are exact in any order.
    e_ND = np.random.default_rng(seed).integers(-4, 5, (40, 8)).astype(np.float32) * np.float32(1 / 16)
    names = [f"{place % 7}_{place}" for place in range(len(e_ND))]
    return FaceSet(e_ND, [name[0] for name in names], names)


def on_gpu(of: FaceSet) -> FaceSet:
    return replace(of, on_device=torch.from_numpy(of.embeddings).to("cuda"))


def assert_same(first: object, second: object, compare: Callable[..., None] = np.testing.assert_equal) -> None:
    for a, b in zip(astuple(first), astuple(second), strict=True):  # type: ignore[call-overload]
        compare(a, b)


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("sampled", [100, 2**20])
def test_pairs(monkeypatch: pytest.MonkeyPatch, within: bool, sampled: int) -> None:
    monkeypatch.setattr(faces, "_SCORES_AT_ONCE", 600)
    monkeypatch.setattr(pairs, "_SORTED_AT_ONCE", 150)
    monkeypatch.setattr(impostor_sample, "SAMPLED_IMPOSTORS", sampled)
    probes, gallery = some_faces(0), None if within else some_faces(1)
    with pretended_gpu():
        there = on_gpu(probes), gallery and on_gpu(gallery)
        assert_same(score_pairs(probes, gallery), score_pairs(*there))
        assert_same(count_pairs(probes, gallery), count_pairs(*there))


@pytest.mark.parametrize("mates", ["one", "all"])
def test_searches(mates: Mates) -> None:
    probes, gallery = some_faces(0), some_faces(1)
    with pretended_gpu():
        assert_same(search(probes, gallery, mates), search(on_gpu(probes), on_gpu(gallery), mates))


def compute_all(probes: FaceSet, gallery: FaceSet) -> list[object]:
    return [
        count_pairs(probes, None),
        score_pairs(probes, gallery),
        search(probes, gallery, "one"),
        search(probes, gallery, "all"),
    ]


@pytest.mark.parametrize("share", [pytest.param(0.0, marks=pytest.mark.slow), 0.5, 0.9])
def test_where_memory_runs_out_smaller_blocks_and_then_the_cpu_give_the_same(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(faces, "_SCORES_AT_ONCE", 1600)
    probes, gallery = some_faces(0), some_faces(1)
    with pretended_gpu():
        there = on_gpu(probes), on_gpu(gallery)
        embeddings = torch.cuda.memory_allocated()
        expected = compute_all(*there)
        most = torch.cuda.max_memory_allocated()
    with pretended_gpu(memory_bytes=int(embeddings + share * (most - embeddings))):
        found = compute_all(on_gpu(probes), on_gpu(gallery))
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, assert_equal_but_for_roundings)


def assert_equal_but_for_roundings(first: object, second: object) -> None:
    """The sums of squares over other blocks, in float64, have others."""
    if isinstance(first, tuple) and all(isinstance(each, int | float) for each in first):
        np.testing.assert_allclose(np.array(first), np.array(second), rtol=1e-12)
    else:
        np.testing.assert_equal(first, second)
