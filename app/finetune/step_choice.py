"""The event of how a training computes its steps on a GPU."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from app.finetune.checkpoint import Stage
from app.finetune.event_data import EventData

StepWay = Literal["eager", "graph"]


@dataclass(frozen=True)
class StepChosen(EventData):
    """How the gradients of a stage's batches are computed on a GPU. A change is a further event."""

    stage: Stage
    way: Annotated[
        StepWay,
        Field(description="`eager`: operation by operation. `graph`: by one CUDA graph for each size of batch."),
    ]
    reason: Annotated[str, Field(description="In words.")]
    compiled: Annotated[bool, Field(description="Whether the graph has the backbone by torch.compile.")] = False
    compiled_reason: Annotated[
        str, Field(description="Why, or why not, in words. Empty in stage 1, and where there is no graph.")
    ] = ""
