"""The files that jobs write: their names, and the formats that a person can download, in one table.

To add an export format, add a row here, its name to `checkpoint` of the kinds of jobs that write it
(app/finetune/job_kinds.py), and its content where the checkpoint is written
(worker/training/checkpoints/best_model.py). Routes, client, commands, rows, retention and clean-up read this table.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

FULL_NAME = "edgeface_finetuned.pth"
BACKBONE_NAME = "edgeface_backbone.pth"
DSR_NAME = "dsr.pth"
EVALUATION_NAME = "evaluation.json"
ONNX_NAME = "edgeface.onnx"
REPORT_NAME = "report.html"

COMPILED_MARKER = "complete.json"
"""In the folder of a compiled network, written after the rest."""

STATE = "state"
"""The kind of a training state in the rows. It cannot be downloaded."""


Part = Literal["checkpoint", "evaluation", "export"]
"""`checkpoint`: files of each best epoch. `evaluation`, `export`: files that a job writes once, at its end."""


@dataclass(frozen=True)
class Format:
    """A file that can be downloaded. `name` is the value of `format`, and the file's kind in the rows."""

    name: str
    part_of: Part
    file_name: str
    """The training of a DSR network writes `full` as dsr.pth."""
    description: str


FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        Format("full", "checkpoint", FULL_NAME, f"{FULL_NAME} (backbone, head, subjects, config), or {DSR_NAME}"),
        Format("backbone", "checkpoint", BACKBONE_NAME, "the backbone's state dict"),
        Format("evaluation", "evaluation", EVALUATION_NAME, "the evaluation as JSON"),
        Format("report", "evaluation", REPORT_NAME, "the evaluation as an HTML page"),
        Format("onnx", "export", ONNX_NAME, "the backbone as an ONNX file, float32"),
    )
}


def formats_of(*parts: Part) -> list[str]:
    """Return the names of the formats that are files of these parts of a job's result."""
    return [name for name, each in FORMATS.items() if each.part_of in parts]


WRITTEN_AT_THE_END: tuple[Part, ...] = ("evaluation", "export")
"""The parts that describe, or are made of, the best checkpoint, and are kept as long as that."""

DOWNLOADED_AS_CHECKPOINT: tuple[Part, ...] = ("checkpoint", "export")
"""The parts that `GET /jobs/{id}/checkpoint` serves."""


def describe_formats(*names: str) -> str:
    return ". ".join(f"`{name}`: {FORMATS[name].description}" for name in names) + "."


def _checkpoint_format(name: str) -> str:
    if name not in (known := formats_of(*DOWNLOADED_AS_CHECKPOINT)):
        raise ValueError(f"{name!r} is none of {', '.join(known)}")
    return name


class _CheckpointFormatSchema:
    """The names of the table as it is when the schema is made."""

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": formats_of(*DOWNLOADED_AS_CHECKPOINT)}


class _ArtifactKindSchema:
    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": [*FORMATS, STATE]}


CheckpointFormat = Annotated[str, AfterValidator(_checkpoint_format), _CheckpointFormatSchema()]
"""A parameter that takes a format of a checkpoint."""

ArtifactKind = Annotated[str, _ArtifactKindSchema()]
"""The kind of a file. A later version can have others."""
