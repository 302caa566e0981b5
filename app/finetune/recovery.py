"""The events of a training that goes on after a lack of memory or numbers that are not finite."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from app.finetune.checkpoint import Stage
from app.finetune.event_data import EventData


@dataclass(frozen=True)
class BatchSplit(EventData):
    """The device ran out of memory. Each batch is now computed in microbatches whose gradients add up, so that the
    optimizer sees the same batch. The training resumes from the last saved state."""

    batch_size: int
    micro_batch_size: Annotated[int, Field(description="At most so many images at a time.")]
    stage: Stage
    epoch: Annotated[int, Field(description="Finished epochs of the stage in the saved state.")]
    step: Annotated[int, Field(description="Steps of the next epoch in it.")]


@dataclass(frozen=True)
class RolledBack(EventData):
    """The loss was not finite. The training resumes from the last saved state with lower learning rates, or in float32
    where fp16 overflowed."""

    learning_rate_scale: Annotated[float, Field(description="Factor of all learning rates from here on.")]
    stage: Stage
    epoch: Annotated[int, Field(description="Finished epochs of the stage in the saved state.")]
    step: Annotated[int, Field(description="Steps of the next epoch in it.")]
    precision: Annotated[
        str | None,
        Field(
            description="That of the rest of the training; absent unless it changed.",
            exclude_if=lambda value: value is None,
        ),
    ] = None


@dataclass(frozen=True)
class StepsSkipped(EventData):
    """In an epoch in fp16, gradients overflowed. Each of these steps changed no weight and halved the loss scale, and
    the learning rates did not advance for it."""

    stage: Stage
    epoch: Annotated[int, Field(description="Counts from 1 in each stage.")]
    skipped: Annotated[int, Field(description="Steps skipped.")]
    steps: Annotated[int, Field(description="Steps of the epoch.")]
    loss_scale: Annotated[float, Field(description="At the end of the epoch.")]
