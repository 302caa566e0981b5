"""Transports of the broker that drop malformed messages. kombu's raise, which would end the worker.

A message only wakes a worker, so that none is missed for long: the rounds send it again.
"""

import base64
import logging
from queue import Empty
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES, filesystem, redis

RUN_NEXT_JOB = "edgeface.run_next_job"
"""The one task."""

_BODY = base64.b64encode(b"[[], {}, {}]").decode()
_LONGEST_ID = 100

_log = logging.getLogger(__name__)


class _Dropping:
    """Mixin for a transport: delivers only messages as `Bell` sends them. `delivers` is True while one is handled."""

    delivers = False

    def _deliver(self, message: Any, queue: str) -> None:
        if (rebuilt := _rebuilt(message, queue)) is None:
            drop(queue, "no message of this service")
            return
        self.delivers = True
        try:
            super()._deliver(rebuilt, queue)  # type: ignore[misc]
        finally:
            self.delivers = False


class _FilesystemChannel(filesystem.Channel):
    def _get(self, queue: str, timeout: float | None = None) -> Any:  # noqa: ARG002 - as the base's
        try:
            return super()._get(queue)  # type: ignore[no-untyped-call]
        except (Empty, OSError, ChannelError):
            raise
        except Exception as error:  # whatever random bytes make the decoder raise; the file is gone already
            drop(queue, type(error).__name__)
            raise Empty from None


class FilesystemTransport(_Dropping, filesystem.Transport):
    Channel = _FilesystemChannel


class _RedisChannel(redis.Channel):
    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, ChannelError, *self.connection_errors):
            raise
        except Exception as error:
            if self.connection.delivers:
                raise
            drop("redis", type(error).__name__)
            raise Empty from None


class RedisTransport(_Dropping, redis.Transport):
    Channel = _RedisChannel


def use_dropping_transports() -> None:
    """Use these for the URLs of the broker in this process."""
    TRANSPORT_ALIASES["filesystem"] = "app.broker:FilesystemTransport"
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = "app.broker:RedisTransport"


def is_known(scheme: str) -> bool:
    """Return whether kombu has a transport for the scheme of a broker's URL."""
    return scheme.partition("+")[0] in TRANSPORT_ALIASES


def drop(queue: str, reason: str) -> None:
    _log.warning("a malformed message in the queue %s was dropped (%s)", queue, reason)


def _rebuilt(message: Any, queue: str) -> dict[str, Any] | None:
    """Return a message like one that `Bell` sends, so that nothing of what came is interpreted further; None for any
    other."""
    if not isinstance(message, dict):
        return None
    headers, properties = message.get("headers"), message.get("properties")
    if not isinstance(headers, dict) or not isinstance(properties, dict) or headers.get("task") != RUN_NEXT_JOB:
        return None
    task_id, tag = headers.get("id"), properties.get("delivery_tag")
    if not isinstance(tag, str) or not isinstance(task_id, str) or max(len(tag), len(task_id)) > _LONGEST_ID:
        return None
    return {
        "body": _BODY,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": RUN_NEXT_JOB,
            "id": task_id,
            "root_id": task_id,
            "ignore_result": True,
            "eta": None,
            "expires": None,
        },
        "properties": {
            "correlation_id": task_id,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": tag,
        },
    }
