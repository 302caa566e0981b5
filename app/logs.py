"""The log of the service's processes: one line for each entry on stderr, for people or as JSON."""

import json
import logging
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from app.finetune.shown_paths import ShownPaths
from app.log_format import LogFormat
from app.repeated_lines import RepeatedLines
from app.settings import Settings

LONGEST_MESSAGE = 4_000
LONGEST_TRACEBACK = 12_000
"""Characters. What is longer loses its middle."""

_OMITTED = " [{} characters left out] "
_PASSWORD_IN_URL = re.compile(r"(\w://[^/\s:@'\"]*):[^\s'\"]*@")  # to the last @: a password may contain one
_VALUE_IN_QUERY = re.compile(r"([?&][^=&\s]+)=[^&\s]*")
_SECRET_SETTING = re.compile(r"password$|secret$|key$|token$")
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_API_KEY = re.compile(r"\b(eff_[\w-]{6})[\w-]{20,}")  # what remains is what `keys list` shows
_NOISY = ("httpx2", "httpcore2", "alembic")
_EACH_LINE = ("app.jobs.status_log",)  # about the end of a job
_FIRST = ("timestamp", "level", "logger", "event")
_LAST = ("exception", "stack")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LogSetup:
    """What a process writes with each entry. `paths` are shown by names. `fields` are those of its whole life."""

    process: str
    format: LogFormat = "console"
    paths: ShownPaths = field(default_factory=ShownPaths)
    fields: Mapping[str, str | int] = field(default_factory=dict)


def configure_logging(setup: LogSetup) -> None:
    """Send this process's log, its warnings and its uncaught exceptions to stderr. May be called again."""
    root = logging.getLogger()
    for former in [each for each in root.handlers if type(each) in (_Handler, logging.StreamHandler)]:
        root.removeHandler(former)
    root.addHandler(log_handler(setup, sys.stderr))
    root.setLevel(logging.INFO)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def log_handler(setup: LogSetup, stream: TextIO) -> logging.Handler:
    """Return the handler that writes each entry of a process to `stream`."""
    handler = _Handler(stream)
    handler.addFilter(RepeatedLines(each=_EACH_LINE))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                _add_extra,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                _AddFields(setup),
                _add_time,
                structlog.processors.format_exc_info,
                _BoundAndHide(setup.paths),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _as_json if setup.format == "json" else _as_line,
            ],
        )
    )
    return handler


@contextmanager
def log_fields(**fields: str | int) -> Iterator[None]:
    """Add the fields to each entry of this thread or task while the block runs."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield


def hide_secrets(text: str) -> str:
    """Return the text without the passwords of its URLs and without credentials of HTTP."""
    return _API_KEY.sub(r"\1***", _CREDENTIAL.sub(r"\1 ***", _PASSWORD_IN_URL.sub(r"\1:***@", text)))


def log_settings(settings: Settings) -> None:
    """Log all settings in one entry, without secrets."""
    _log.info("settings: %s", " ".join(f"EDGEFACE_{name.upper()}={_shown(name, value)}" for name, value in settings))


def _shown(name: str, value: object) -> str:
    text = value.name if isinstance(value, Path) and not name.endswith("_dir") else str(value)
    if text and _SECRET_SETTING.search(name):
        return "***"
    return _VALUE_IN_QUERY.sub(r"\1=***", hide_secrets(text)) if "://" in text else text


class _Handler(logging.StreamHandler[Any]):
    """The one handler of the process: told from those of others, such as a test's."""


class _AddFields:
    def __init__(self, setup: LogSetup) -> None:
        self._fields = {"process": setup.process, **setup.fields}

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**self._fields, **event}


def _add_extra(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    event = structlog.stdlib.ExtraAdder()(logger, name, event)
    event.pop("color_message", None)  # of uvicorn: the message again
    return event


def _add_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    created = event["_record"].created
    event["timestamp"] = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds")
    return event


class _BoundAndHide:
    def __init__(self, paths: ShownPaths) -> None:
        self._paths = paths

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        for name, value in event.items():
            if isinstance(value, str) and not name.startswith("_"):
                longest = LONGEST_TRACEBACK if name in _LAST else LONGEST_MESSAGE
                event[name] = _cut(self._paths.shown(hide_secrets(value)), longest)
        return event


def _cut(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    return text[: longest // 2] + _OMITTED.format(len(text) - longest) + text[-(longest // 2) :]


def _as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    names = (*_FIRST, *(name for name in event if name not in (*_FIRST, *_LAST)), *_LAST)
    return json.dumps({name: event[name] for name in names if name in event}, default=repr)


def _as_line(_: WrappedLogger, __: str, event: EventDict) -> str:
    """`TIME LEVEL LOGGER: MESSAGE [name=value ...]`, then the traceback if there is one."""
    time = datetime.fromisoformat(event["timestamp"]).astimezone().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3]
    others = [name for name in event if name not in (*_FIRST, *_LAST, "process")]
    context = f" [{' '.join(f'{name}={event[name]}' for name in others)}]" if others else ""
    head = f"{time} {event['level'].upper()} {event['logger']}: {event['event']}{context}"
    # One entry is one line, whatever a name in it contains.
    head = re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", lambda found: ascii(found[0])[1:-1], head)
    return "\n".join((head, *(event[name] for name in _LAST if name in event)))


def _log_uncaught(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None, where: str = "the process"
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    _log.critical("%s ends by an uncaught exception", where, exc_info=(kind, error, traceback))


def _log_uncaught_in_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        name = "unknown" if ended.thread is None else ended.thread.name
        _log_uncaught(ended.exc_type, ended.exc_value, ended.exc_traceback, f"the thread {name}")
