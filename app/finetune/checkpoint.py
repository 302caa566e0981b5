"""Files that a job has written, and the checkpoint that some of them make up.

One definition serves the trainer's messages, the rows, the API and the resume file of a training at the terminal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from app.finetune.event_data import EventData
from app.finetune.selection import Selection

Stage = Literal[0, 1, 2]
"""0: a DSR network is trained. 1: the ArcFace head. 2: the backbone, with the head or the prototypes of identities."""


@dataclass(frozen=True)
class WrittenFile:
    """A file that was renamed to its name only after its last byte was on the disk.

    A trainer's message holds an absolute `path`. In the rows and in the API the path is relative to the artifacts'
    root, and JSON calls it `key`.
    """

    path: Annotated[
        Path,
        Field(
            validation_alias=AliasChoices("path", "key"),
            serialization_alias="key",
            description="Path relative to the artifacts' root.",
        ),
    ]
    size: Annotated[int, Field(description="Bytes.")]
    sha256: str

    @property
    def key(self) -> str:
        """`path` as the rows name it."""
        return self.path.as_posix()


@dataclass(frozen=True, kw_only=True)
class Checkpoint(EventData):
    """The best epoch so far, or with `keep: last` the last one validated."""

    epoch: Annotated[int, Field(description="Epoch of the stage, counted from 1.")]
    score: Annotated[float, Field(description="Val accuracy or verification AUC of the epoch.")]
    full: Annotated[WrittenFile, Field(description="edgeface_finetuned.pth, or dsr.pth.")]
    backbone: Annotated[
        WrittenFile | None,
        Field(description="The backbone's state dict; absent for a DSR network.", exclude_if=lambda file: file is None),
    ] = None
    # A fine-tuning's row has no stage.
    stage: Annotated[Stage, Field(description="Default 2.", exclude_if=lambda stage: stage == 2)] = 2

    exports: Annotated[
        Mapping[str, WrittenFile],
        Field(description="The files of other formats by their names.", exclude_if=lambda files: not files),
    ] = field(default_factory=dict)

    selection: Annotated[
        Selection | None,
        Field(
            description="The measure that chose the epoch; absent in rows of version 0.2 and before.",
            exclude_if=lambda selection: selection is None,
        ),
    ] = None

    @classmethod
    def of(
        cls,
        files: Mapping[str, WrittenFile],
        *,
        epoch: int,
        score: float,
        stage: Stage = 2,
        selection: Selection | None = None,
    ) -> "Checkpoint":
        """The checkpoint of these files by the names of their formats, of which `full` is required."""
        exports = {name: file for name, file in files.items() if name not in ("full", "backbone")}
        full, backbone = files["full"], files.get("backbone")
        return cls(
            epoch=epoch, score=score, full=full, backbone=backbone, stage=stage, exports=exports, selection=selection
        )

    @property
    def by_format(self) -> dict[str, WrittenFile]:
        """The files by the names of their formats; `full` comes first."""
        backbone = {} if self.backbone is None else {"backbone": self.backbone}
        return {"full": self.full, **backbone, **self.exports}

    @property
    def files(self) -> list[WrittenFile]:
        return list(self.by_format.values())

    def relocated(self, place: Callable[[Path], Path | str]) -> "Checkpoint":
        """The same checkpoint with `place(path)` as the path of each file."""
        files = {name: relocated(file, place) for name, file in self.by_format.items()}
        return Checkpoint.of(files, epoch=self.epoch, score=self.score, stage=self.stage, selection=self.selection)


def relocated(file: WrittenFile, place: Callable[[Path], Path | str]) -> WrittenFile:
    """The same file with the path `place(path)`."""
    return replace(file, path=Path(place(file.path)))
