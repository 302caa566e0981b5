"""A batch of the running epoch, by its places in the epoch's order."""

from collections.abc import Iterator

import torch
from torch import Tensor

from worker.training.data.augment import augment
from worker.training.data.multi_scale import make_views
from worker.training.data.preprocess import normalise
from worker.training.loop.context import Course
from worker.training.loop.epoch import RunningEpoch
from worker.training.models.edgeface import EdgeFace
from worker.training.runtime.profiling import profiled

# Shape suffixes: B faces, C = 3 channels (RGB), H = W = 112.


def places_of(start: int, stop: int, size: int) -> Iterator[slice]:
    """`start` to `stop` in pieces of `size`, the last as small as it is."""
    for first in range(start, stop, size):
        yield slice(first, min(first + size, stop))


def augmented_faces(course: Course, running: RunningEpoch, places: slice) -> Tensor:
    """The faces at these places, as the backbone takes them: [B, 3, 112, 112] in [-1, 1], on the course's device."""
    with profiled("feed"):
        faces_u8_BCHW = course.faces_u8_NCHW[running.order_N[places]].to(course.device, non_blocking=True)
    with profiled("augmentation"):
        return normalise(augment(faces_u8_BCHW, running.drawn_4N[:, places]))


def views_at(course: Course, running: RunningEpoch, places: slice) -> Tensor:
    """The views at these places of an epoch that has some, as the backbone takes them, on the course's device."""
    teaching = course.teaching
    assert running.views is not None and teaching is not None, "an epoch of views"  # noqa: S101
    with profiled("views"):
        return make_views(
            running.views.at(places),
            teaching.invented_u8_QCHW,
            teaching.enlarge,
            course.faces_u8_NCHW,
            running.order_N[places],
            running.drawn_4N[:, places],
            course.device,
        )


def embed_augmented(course: Course, backbone: EdgeFace, running: RunningEpoch, places: slice) -> Tensor:
    """Embeddings [B, 512] of the augmented faces at these places, in the course's precision."""
    return embed_faces(course, backbone, augmented_faces(course, running, places))


def embed_faces(course: Course, backbone: EdgeFace, faces_BCHW: Tensor) -> Tensor:
    """[B, 3, 112, 112] in [-1, 1] -> embeddings [B, 512], in the course's precision."""
    with (
        profiled("forward"),
        torch.autocast(course.device.type, course.precision.autocast, course.precision.autocast is not None),
    ):
        e_BD: Tensor = backbone(faces_BCHW)
    return e_BD


def labels_at(course: Course, running: RunningEpoch, places: slice) -> Tensor:
    """The class ids [B] of the faces at these places, on the course's device."""
    return course.labels_N[running.order_N[places]].to(course.device, non_blocking=True)
