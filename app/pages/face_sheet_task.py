"""The drawing of some faces as a task for a limited child: images come from people who are not trusted."""

from pydantic import BaseModel, ConfigDict

from app.isolated.task import AnyPath, FileRequest, Limits, Task


class Pair(BaseModel):
    """A photo of one person: its small and its large image; None where there is none."""

    model_config = ConfigDict(frozen=True)

    vlr: AnyPath | None
    hr: AnyPath | None


class SheetRequest(FileRequest):
    """Draw the pairs side by side. `path` is the folder of the dataset; `roots` are the folders that may be read."""

    pairs: list[Pair]
    roots: list[AnyPath]


class Sheet(BaseModel):
    """A PNG of 112 x 112 pixels a face: a column a pair; rows: VLR as it is, VLR enlarged, HR. In base64."""

    png: str


SHEET = Task(
    name="app.pages.face_sheet_task:SHEET",
    run="app.pages.face_sheet_drawing:draw",
    request=SheetRequest,
    result=Sheet,
    limits=Limits(cpu_seconds=10, wall_seconds=30.0, answer_bytes=4 * 2**20),
    at_once=2,
)
