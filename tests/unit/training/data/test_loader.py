"""The batches of an epoch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from app.finetune.training_errors import OutOfMemory
from worker.training.data.loader import EpochFaces, FaceSource, Loader
from worker.training.data.multi_scale import MultiScaleViews
from worker.training.data.preprocess import enlarge_bicubic
from worker.training.data.vlr_faces import VlrFaces
from worker.training.loop.frozen_embeddings import FrozenEmbeddings
from worker.training.runtime.cpu_parallel import CpuParallel

from ..support import tiny_config

CPU = torch.device("cpu")


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


def test_an_epoch_has_every_training_face_once() -> None:
    labels = torch.cat([batch.labels_B for batch in Loader(vlr_faces().draw_epoch(generator()), 4)])
    assert sorted(labels.tolist()) == list(range(10))


def test_a_slice_of_a_batch_is_a_batch() -> None:
    batch = next(iter(Loader(vlr_faces().draw_epoch(generator()), 4)))
    part = batch[slice(1, 3)]
    assert len(part) == 2
    assert torch.equal(part.inputs, batch.inputs[1:3])
    assert torch.equal(part.labels_B, batch.labels_B[1:3])


class Limited:
    """An epoch whose faces cannot be made more than `most` at a time."""

    def __init__(self, epoch: EpochFaces, most: int) -> None:
        self._epoch, self._most = epoch, most

    def __len__(self) -> int:
        return len(self._epoch)

    def faces(self, places: slice) -> Tensor:
        if places.stop - places.start > self._most:
            raise torch.OutOfMemoryError
        return self._epoch.faces(places)

    def labels(self, places: slice) -> Tensor:
        return self._epoch.labels(places)

    def state_dict(self) -> dict[str, object]:
        return self._epoch.state_dict()


def test_where_memory_is_short_faces_are_made_a_few_at_a_time() -> None:
    epoch = vlr_faces().draw_epoch(generator())
    for batch, expected in zip(Loader(Limited(epoch, 1), 4), Loader(epoch, 4), strict=True):
        assert torch.equal(batch.inputs, expected.inputs)
    with pytest.raises(OutOfMemory):
        next(iter(Loader(Limited(epoch, 0), 4)))


def test_frozen_embeddings_are_computed_ahead_and_are_those_of_each_face() -> None:
    epoch, given = vlr_faces().draw_epoch(generator()), list[int]()

    def model(faces: Tensor) -> Tensor:
        given.append(len(faces))
        return faces.flatten(1)[:, :8]

    batches = list(FrozenEmbeddings(model, epoch, 4, CPU))
    assert given == [10], "256 faces are embedded at once"
    for batch, faces in zip(batches, Loader(epoch, 4), strict=True):
        assert torch.equal(batch.inputs, faces.inputs.flatten(1)[:, :8])
        assert torch.equal(batch.labels_B, faces.labels_B)
