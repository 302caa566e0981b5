"""The batches of an epoch."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from app.finetune.training_errors import OutOfMemory
from tests.pretended_gpu import pretended_gpu
from worker.training.data.loader import EpochFaces, FaceSource, Loader, augmented
from worker.training.data.multi_scale import MultiScaleViews
from worker.training.data.preprocess import enlarge_bicubic
from worker.training.data.vlr_faces import VlrFaces
from worker.training.loop.frozen_embeddings import FrozenEmbeddings
from worker.training.runtime.cpu_parallel import CpuParallel

from ..support import tiny_config

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(count: int) -> Tensor:
    return torch.randint(256, (count, 3, 112, 112), dtype=torch.uint8, generator=generator())


def vlr_faces() -> VlrFaces:
    return VlrFaces(noise(10), torch.arange(10), CPU, batch_size=4)


def views() -> MultiScaleViews:
    config = tiny_config(recipe="recommended", synthetic_identities=2, vlr_share=0.3)
    return MultiScaleViews(vlr_faces(), noise(16), enlarge_bicubic, config)


SOURCES: list[Callable[[], FaceSource]] = [vlr_faces, views]


def on_gpu(source: MultiScaleViews, *, fits: bool) -> MultiScaleViews:
    """The same faces, on a pretended GPU or copied to it batch by batch."""
    vlr, place = source.vlr, GPU if fits else CPU
    moved = VlrFaces(vlr.faces_u8_NCHW.to(place), vlr.labels_N.to(GPU), GPU, vlr.batch_size)
    return replace(source, vlr=moved, synthetic_u8_QCHW=source.synthetic_u8_QCHW.to(place))


@pytest.mark.parametrize("source", SOURCES)
def test_a_loader_that_begins_later_yields_the_rest_of_the_same_batches(source: Callable[[], FaceSource]) -> None:
    """From what was drawn for the epoch, as a resumed run has it."""
    epoch = source().draw_epoch(generator())
    batches = list(Loader(epoch, 4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert batches[0].inputs.shape == (4, 3, 112, 112)
    again = source().load_epoch({**epoch.state_dict(), "step": 1}, generator())
    for batch, other in zip(batches[1:], Loader(again, 4, first=1, parallel=CpuParallel(2)), strict=True):
        assert torch.equal(batch.inputs, other.inputs)
        assert torch.equal(batch.labels_B, other.labels_B)
        assert torch.equal(augmented(batch).inputs, augmented(other).inputs)


def test_an_epoch_has_every_training_face_once() -> None:
    labels = torch.cat([batch.labels_B for batch in Loader(vlr_faces().draw_epoch(generator()), 4)])
    assert sorted(labels.tolist()) == list(range(10))


def test_a_slice_of_a_batch_is_a_batch() -> None:
    batch = next(iter(Loader(vlr_faces().draw_epoch(generator()), 4)))
    part = batch[slice(1, 3)]
    assert len(part) == 2
    assert torch.equal(part.inputs, batch.inputs[1:3])
    assert torch.equal(part.labels_B, batch.labels_B[1:3])
    torch.testing.assert_close(augmented(part).inputs, augmented(batch).inputs[1:3], rtol=0, atol=1e-6)


@pytest.mark.parametrize("fits", [True, False])
def test_on_a_gpu_batches_are_the_same_and_the_cpu_waits_for_none(fits: bool) -> None:
    with pretended_gpu() as gpu:
        moved = on_gpu(views(), fits=fits)
        sources: list[tuple[FaceSource, FaceSource]] = [(moved, views()), (moved.vlr, vlr_faces())]
        for source, on_cpu in sources:
            gpu.waits.clear()
            gpu.copies.clear()
            batches = list(Loader(source.draw_epoch(generator()), 4))
            assert not gpu.waits
            assert not gpu.copies
            for batch, expected in zip(batches, Loader(on_cpu.draw_epoch(generator()), 4), strict=True):
                assert batch.inputs.device == batch.labels_B.device == GPU
                assert torch.equal(batch.inputs.cpu(), expected.inputs)
                assert torch.equal(augmented(batch).inputs.cpu(), augmented(expected).inputs)
                assert torch.equal(batch.labels_B.cpu(), expected.labels_B)


class Limited:
    """An epoch whose faces cannot be made more than `most` at a time."""

    def __init__(self, epoch: EpochFaces, most: int) -> None:
        self._epoch, self._most = epoch, most
        self.made_at_once = epoch.made_at_once

    def __len__(self) -> int:
        return len(self._epoch)

    def faces(self, places: slice) -> Tensor:
        if places.stop - places.start > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self._epoch.faces(places)

    def labels(self, places: slice) -> Tensor:
        return self._epoch.labels(places)

    def drawn(self, places: slice) -> Tensor | None:
        return self._epoch.drawn(places)

    def refuse_not_finite(self) -> None:
        self._epoch.refuse_not_finite()

    def state_dict(self) -> dict[str, object]:
        return self._epoch.state_dict()


def test_where_memory_is_short_faces_are_made_a_few_at_a_time() -> None:
    epoch = vlr_faces().draw_epoch(generator())
    for batch, expected in zip(Loader(Limited(epoch, 1), 4), Loader(epoch, 4), strict=True):
        assert torch.equal(batch.inputs, expected.inputs)
    with pytest.raises(OutOfMemory):
        next(iter(Loader(Limited(epoch, 0), 4)))


def test_views_of_one_size_are_made_together_ahead_of_their_batches() -> None:
    enlarged = list[int]()

    def enlarge(faces_u8: Tensor) -> Tensor:
        enlarged.append(len(faces_u8))
        return enlarge_bicubic(faces_u8)

    config = tiny_config(
        recipe="recommended", synthetic_identities=2, vlr_share=0, hr_share=0, smallest_view=9, largest_view=9
    )
    source = MultiScaleViews(vlr_faces(), noise(16), enlarge, config)
    one_by_one = list(Loader(source.draw_epoch(generator()), 2))
    assert enlarged == [2] * 5, "a CPU makes one batch at a time"
    with pretended_gpu():
        ahead = list(Loader(on_gpu(source, fits=True).draw_epoch(generator()), 2))
        assert enlarged[5:] == [10]
        for batch, expected in zip(ahead, one_by_one, strict=True):
            assert torch.equal(batch.inputs.cpu(), expected.inputs)


def test_where_memory_is_short_views_are_not_made_ahead() -> None:
    """96 views are 3.6 MB, and twice that where parts are joined; a batch of four takes about 3 MB in float32."""
    source = replace(views(), vlr=VlrFaces(noise(96), torch.arange(96), CPU, batch_size=4))
    with pretended_gpu(memory_bytes=5 * 10**6) as gpu:
        epoch = on_gpu(source, fits=False).draw_epoch(generator())
        expected = torch.cat([batch.inputs for batch in Loader(source.draw_epoch(generator()), 4)])
        assert torch.equal(torch.cat([batch.inputs.cpu() for batch in Loader(epoch, 4)]), expected)
        assert gpu.peak_bytes > 3 * 10**6


def test_frozen_embeddings_are_computed_ahead_and_are_those_of_each_face() -> None:
    epoch, given = vlr_faces().draw_epoch(generator()), list[int]()

    def model(faces: Tensor) -> Tensor:
        given.append(len(faces))
        return faces.flatten(1)[:, :8]

    batches = list(FrozenEmbeddings(model, epoch, 4, CPU))
    assert given == [10], "256 faces are embedded at once"
    for batch, faces in zip(batches, Loader(epoch, 4), strict=True):
        assert torch.equal(batch.inputs, augmented(faces).inputs.flatten(1)[:, :8])
        assert torch.equal(batch.labels_B, faces.labels_B)
