"""The events of a job, as rows keep them and as the API sends them.

`kind` selects the type of `data`. Most of those types come from app/finetune/events.py, where the training emits them.
An event of another version, whose kind or data this one does not know, is an `OtherEvent`.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter

from app.api_models.attempts import ResumeReceipt
from app.api_models.durations import ActualView, PredictedView
from app.api_models.job_status import JobStatus
from app.finetune.checkpoint import Checkpoint
from app.finetune.epoch_metrics import EpochMetrics
from app.finetune.errors import ErrorReport
from app.finetune.event_data import EventData
from app.finetune.events import (
    BatchSplit,
    DatasetCheckStarted,
    DatasetImportStarted,
    EnlargementMeasured,
    EvaluationStarted,
    ModelExported,
    ModelExportStarted,
    PhaseStarted,
    Prepared,
    RecognitionMeasured,
    RolledBack,
    StageStarted,
    StepChosen,
    StepsSkipped,
    StoppedEarly,
)
from app.finetune.job_warning import JobWarning


class StatusChanged(EventData, BaseModel):
    """The job has a new status."""

    status: JobStatus
    previous: JobStatus | None = Field(description="null: the job is new.")
    worker: str | None = Field(None, description="The worker that claimed the job.")
    reason: str | None = Field(None, description="In words.")
    error: ErrorReport | None = Field(None, description="Of a failed job.")
    predicted: PredictedView | None = Field(None, description="Of a job that ended.")
    actual: ActualView | None = Field(None, description="Of a job that ended.")


class WaitingNoted(EventData, BaseModel):
    """A worker did not claim the queued job."""

    reason: str = Field(description="What the job waits for, in words.")


class EventView(BaseModel):
    """An event of the job. Numbers start at 1 and have no gaps."""

    number: int
    kind: str
    attempt: int
    at: datetime
    data: Any

    def to_json(self) -> str:
        """The JSON that the API sends: `data` has the keys that the row has."""
        return self.model_dump_json(by_alias=True, exclude_unset=True)


class StatusEvent(EventView):
    kind: Literal["status"]
    data: StatusChanged


class WarningEvent(EventView):
    kind: Literal["warning"]
    data: JobWarning


class WaitingEvent(EventView):
    kind: Literal["waiting"]
    data: WaitingNoted


class ResumedEvent(EventView):
    kind: Literal["resumed"]
    data: ResumeReceipt


class PreparedEvent(EventView):
    kind: Literal["prepared"]
    data: Annotated[
        Prepared | DatasetCheckStarted | DatasetImportStarted | ModelExportStarted | EvaluationStarted,
        Field(union_mode="left_to_right"),
    ]


class PredictedEvent(EventView):
    kind: Literal["predicted"]
    data: PredictedView


class PhaseEvent(EventView):
    kind: Literal["phase"]
    data: PhaseStarted


class StageEvent(EventView):
    kind: Literal["stage"]
    data: StageStarted


class EpochEvent(EventView):
    kind: Literal["epoch"]
    data: EpochMetrics


class CheckpointEvent(EventView):
    kind: Literal["checkpoint"]
    data: Checkpoint


class RecognitionEvent(EventView):
    kind: Literal["recognition"]
    data: RecognitionMeasured


class EnlargementEvent(EventView):
    kind: Literal["enlargement"]
    data: EnlargementMeasured


class BatchSplitEvent(EventView):
    kind: Literal["batch_split"]
    data: BatchSplit


class RolledBackEvent(EventView):
    kind: Literal["rolled_back"]
    data: RolledBack


class StepsSkippedEvent(EventView):
    kind: Literal["steps_skipped"]
    data: StepsSkipped


class StepChosenEvent(EventView):
    kind: Literal["step_chosen"]
    data: StepChosen


class StoppedEarlyEvent(EventView):
    kind: Literal["stopped_early"]
    data: StoppedEarly


class ExportedEvent(EventView):
    kind: Literal["exported"]
    data: ModelExported


class OtherEvent(EventView):
    """An event of another version of the service."""

    data: dict[str, Any]


KnownEvent = (
    StatusEvent
    | WarningEvent
    | WaitingEvent
    | ResumedEvent
    | PreparedEvent
    | PredictedEvent
    | PhaseEvent
    | StageEvent
    | EpochEvent
    | CheckpointEvent
    | RecognitionEvent
    | EnlargementEvent
    | BatchSplitEvent
    | RolledBackEvent
    | StepsSkippedEvent
    | StepChosenEvent
    | StoppedEarlyEvent
    | ExportedEvent
)
KNOWN_EVENTS: tuple[type[EventView], ...] = get_args(KnownEvent)

AnyEvent = Annotated[Annotated[KnownEvent, Field(discriminator="kind")] | OtherEvent, Field(union_mode="left_to_right")]

EVENT: TypeAdapter[EventView] = TypeAdapter(AnyEvent)


class EventPage(BaseModel):
    events: list[AnyEvent]
    next_cursor: int = Field(description="Pass it as `after` to get the events that follow.")
    terminal: bool = Field(description="Whether the job has ended: no event follows, unless the job is retried.")

    def to_json(self) -> str:
        """The JSON that the API sends; see `EventView.to_json`."""
        return self.model_dump_json(by_alias=True, exclude_unset=True)


def kind_of_event(data: object) -> str:
    """The kind of the event that carries this data. `data` is one of theirs."""
    return next(_KINDS[type_] for type_ in type(data).__mro__ if type_ in _KINDS)


def _kinds() -> dict[type, str]:
    fields = [event.model_fields for event in KNOWN_EVENTS]
    return {
        type_: get_args(field["kind"].annotation)[0]
        for field in fields
        for type_ in get_args(field["data"].annotation) or (field["data"].annotation,)
    }


_KINDS = _kinds()
