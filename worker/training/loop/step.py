"""Forward and backward of one batch: the place for gradient accumulation, CPU data parallelism or a CUDA graph."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from worker.training.data.loader import Batch
from worker.training.loop.optimizers import Optimizers
from worker.training.objectives.objective import Loss, Model, Objective
from worker.training.runtime.cpu_parallel import SINGLE_THREAD, CpuParallel
from worker.training.runtime.microbatches import add_gradients, laid_out, slices_of
from worker.training.runtime.profiling import profiled


class NotFinite(Exception):
    """The loss or a weight is NaN or infinity. Caught in recovery.py."""


class StepDidNotFit(Exception):
    """A step ran out of memory. Caught in recovery.py."""


def as_it_is(batch: Batch) -> Batch:
    return batch


@dataclass(frozen=True)
class ForwardBackward:
    """`objective(model, transform(batch))` and its gradients.

    At most `micro_batch_size` faces are computed at once, over all threads of `parallel`. The gradients of the
    microbatches add up to those of the mean loss over the whole batch, in the order of the microbatches.
    """

    model: Model
    objective: Objective
    optimizers: Optimizers
    micro_batch_size: int
    parallel: CpuParallel = SINGLE_THREAD
    transform: Callable[[Batch], Batch] = as_it_is

    def __call__(self, batch: Batch) -> list[Loss]:
        """Add the gradients of `batch` to `grad` of the parameters; the losses of its microbatches, detached."""
        losses = []
        for at_once in self._microbatches(batch):
            for gradients, loss in self.parallel.map(partial(self._gradients, len(batch)), at_once):
                add_gradients(self.optimizers.parameters, gradients)
                losses.append(loss)
        return losses

    def gradients(self, batch: Batch) -> tuple[list[Tensor], Loss]:
        """The gradients of `batch`, computed at once and laid out as the parameters, and its loss, detached."""
        gradients, loss = self._gradients(len(batch), batch)
        return laid_out(self.optimizers.parameters, gradients), loss

    def _gradients(self, images: int, microbatch: Batch) -> tuple[tuple[Tensor, ...], Loss]:
        """In any thread: `backward()` would let the threads write to the same `grad`, in no certain order."""
        loss = self.objective(self.model, self.transform(microbatch))
        scaled = self.optimizers.scaler.scale(loss.loss / images)
        with profiled("backward"):
            gradients = torch.autograd.grad(scaled, self.optimizers.parameters, materialize_grads=True)
        return gradients, Loss(loss.loss.detach(), loss.correct)

    def _microbatches(self, batch: Batch) -> Iterator[list[Batch]]:
        """The microbatches that are computed at the same time, then the next ones."""
        images = len(batch)
        threads = min(self.parallel.count, self.micro_batch_size, images)
        divided = self.micro_batch_size < images
        size = self.micro_batch_size // threads if divided else -(-images // threads)
        microbatches = [batch[places] for places in slices_of(0, images, size)]
        for first in range(0, len(microbatches), threads):
            yield microbatches[first : first + threads]
