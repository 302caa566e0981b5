"""Messages between a caller and the child that reads a file for it, and between a caller and the server.

All are JSON, one message a line: what a child says is not trusted, so it is parsed by types, and never unpickled.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from app.isolated.task import Limits

DESCRIPTOR_BYTE = b"r"
"""Goes to the server with the descriptor of a child's end of the connection."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Order(_Message):
    """To the child, once: the task, by its name, and what to read."""

    task: str
    request: dict[str, Any]
    limits: Limits


class Began(_Message):
    """The child runs, with its limits set."""

    is_: Literal["began"] = "began"
    pid: int


class Advanced(_Message):
    is_: Literal["advanced"] = "advanced"
    done: int
    total: int


class Done(_Message):
    is_: Literal["done"] = "done"
    result: dict[str, Any]


class Refused(_Message):
    """The task raised one of its errors."""

    is_: Literal["refused"] = "refused"
    code: str
    message: str
    hint: str


class Exceeded(_Message):
    is_: Literal["exceeded"] = "exceeded"
    limit: Literal["memory", "file"]


class Crashed(_Message):
    """The task raised what it should not."""

    is_: Literal["crashed"] = "crashed"
    error: str
    traceback: str


class Ended(_Message):
    """From the server, last of all: the exit code of the child, or minus the signal that ended it."""

    is_: Literal["ended"] = "ended"
    exit_code: int


Message = Annotated[Began | Advanced | Done | Refused | Exceeded | Crashed | Ended, Field(discriminator="is_")]

_ADAPTER: TypeAdapter[Message] = TypeAdapter(Message)


def encode(message: BaseModel) -> bytes:
    return message.model_dump_json().encode() + b"\n"


def decode(line: bytes) -> Message:
    """Raises ValueError."""
    return _ADAPTER.validate_json(line)
