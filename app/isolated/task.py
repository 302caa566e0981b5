"""What a task is: a function in a module, the types that it takes and returns, and the limits of its process."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from app.finetune.errors import EdgefaceError


def _decode(value: object) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise ValueError("not a path")
    return Path(os.fsdecode(bytes.fromhex(value)))


AnyPath = Annotated[Path, PlainValidator(_decode), PlainSerializer(lambda path: os.fsencode(path).hex())]
"""A path with any bytes. In JSON its bytes are in hexadecimal digits: JSON cannot hold names that are not UTF-8."""


class FileRequest(BaseModel):
    """The base of requests: the file that the task reads. Errors name it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: AnyPath


class Limits(BaseModel):
    """What one child may use. Memory counts from what the task's imports take; time from the moment it begins."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_bytes: int = Field(512 * 2**20, gt=0)
    """Of address space. A file that is mapped counts whole."""
    cpu_seconds: int = Field(20, gt=0)
    wall_seconds: float = Field(60.0, gt=0)
    written_file_bytes: int = Field(0, ge=0)
    """Of the largest file that it writes. 0: it writes none."""
    open_files: int = Field(32, gt=8)
    answer_bytes: int = Field(2**20, gt=0)
    """Of all messages together, in JSON."""


Progress = Callable[[int, int], None]
"""progress(done, total), in a unit of the task's choice. It may be called often: few calls become messages."""

_Request = TypeVar("_Request", bound=FileRequest)
_Result = TypeVar("_Result", bound=BaseModel)


@dataclass(frozen=True, kw_only=True)
class Task(Generic[_Request, _Result]):
    name: str
    """Where this constant is, as "module:NAME"."""
    run: str
    """The function run(request, progress) -> result, as "module:function". The caller never imports its module."""
    request: type[_Request]
    result: type[_Result]
    limits: Limits
    errors: tuple[type[EdgefaceError], ...] = ()
    """What `run` raises on purpose, with their subclasses. They have no attributes but message and hint."""
    at_once: int = 4
    """Children of this task at the same time in one process of the service."""
    server: str = "files"
    """The server whose children run it: a key of `WARM` in server.py."""
