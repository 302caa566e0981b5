"""The task that makes a dataset of an archive, for `app.isolated.run`. This module imports little."""

from pydantic import BaseModel, ConfigDict

from app.alignment.errors import AlignExtraMissing, AlignModelDamaged
from app.finetune.dataset_import_config import ImportOptions
from app.finetune.errors import ConfigError, DataError
from app.finetune.job_warning import JobWarning
from app.isolated.task import AnyPath, FileRequest, Limits, Task

_HOURS = 3600


class ImportRequest(FileRequest):
    """`path` is the archive, called `archive_name` by who sent it. `folder` is empty and belongs to the task."""

    folder: AnyPath
    archive_name: str
    options: ImportOptions
    most_bytes: int


class ImportResult(BaseModel):
    """The dataset is in `folder/dataset`. `warnings` are those of the build."""

    model_config = ConfigDict(frozen=True)

    subject_pattern: str
    built: bool
    images: int
    bytes: int
    left_out: int
    sha256: str
    warnings: list[JobWarning]


IMPORT = Task(
    name="app.dataset_import.task:IMPORT",
    run="app.dataset_import.making:make_dataset",
    request=ImportRequest,
    result=ImportResult,
    limits=Limits(
        memory_bytes=3 * 2**30,
        cpu_seconds=24 * _HOURS,
        wall_seconds=24.0 * _HOURS,
        written_file_bytes=2 * 2**30,
        open_files=256,
    ),
    errors=(DataError, ConfigError, AlignExtraMissing, AlignModelDamaged),
    at_once=2,
)
