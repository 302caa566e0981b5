"""A batch of the running epoch, by its places in the epoch's order."""

from torch import Tensor

from worker.training.data.augment import augment
from worker.training.data.multi_scale import make_views
from worker.training.data.preprocess import normalise
from worker.training.loop.context import RunContext
from worker.training.loop.epoch import EpochState
from worker.training.runtime.profiling import profiled

# Shape suffixes: B faces, C = 3 channels (RGB), H = W = 112.


def augmented_faces(context: RunContext, epoch_state: EpochState, places: slice) -> Tensor:
    """The faces at these places, as the backbone takes them: [B, 3, 112, 112] in [-1, 1], on the course's device."""
    with profiled("feed"):
        faces_u8_BCHW = context.faces_u8_NCHW[epoch_state.order_N[places]].to(context.device, non_blocking=True)
    with profiled("augmentation"):
        return normalise(augment(faces_u8_BCHW, epoch_state.drawn_4N[:, places]))


def views_at(context: RunContext, epoch_state: EpochState, places: slice) -> Tensor:
    """The views at these places of an epoch that has some, as the backbone takes them, on the course's device."""
    targets = context.targets
    assert epoch_state.views is not None and targets is not None, "an epoch of views"  # noqa: S101
    with profiled("views"):
        return make_views(
            epoch_state.views.at(places),
            targets.invented_u8_QCHW,
            targets.enlarge,
            context.faces_u8_NCHW,
            epoch_state.order_N[places],
            epoch_state.drawn_4N[:, places],
            context.device,
        )


def labels_at(context: RunContext, epoch_state: EpochState, places: slice) -> Tensor:
    """The class ids [B] of the faces at these places, on the course's device."""
    return context.labels_N[epoch_state.order_N[places]].to(context.device, non_blocking=True)
