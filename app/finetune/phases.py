"""The phases of a job."""

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import Field

from app.finetune.event_data import EventData

Phase = Literal[
    "starting",
    "unpacking",
    "building",
    "checking",
    "preparing",
    "judging",
    "measuring",
    "comparing",
    "teacher_targets",
    "stage_0",
    "stage_1",
    "stage_2",
    "trying",
    "evaluating",
    "writing",
]
"""The phases of a job of any kind, in their order. Each kind has some of them."""

PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True)
class PhaseStarted(EventData):
    """A phase of the job begins."""

    phase: Annotated[
        Phase,
        Field(
            description="`starting`: a worker starts the job's process. `unpacking`: an upload. "
            "`building`: the dataset of an upload. `checking`: reading weights and images. "
            "`preparing`: enlarging the faces. `judging`: how the faces of a dataset are aligned, and whether their "
            "names are right. `measuring`: recognition before the training. `comparing`: looking for "
            "people under two names. `teacher_targets`: making the synthetic identities and embedding them. "
            "`stage_0`, `stage_1`, `stage_2`: training. `trying`: the steps of a dry run. `evaluating`: recognition by "
            "every protocol. `writing`: the report."
        ),
    ]
