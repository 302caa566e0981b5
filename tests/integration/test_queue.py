"""The bell wakes workers, and never lets more messages wait than it takes to wake them."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from app.queue import MOST_PENDING, RUN_NEXT_JOB, Bell, make_celery
from app.settings import Settings
from tests.support.servers import free_port, redis_server


@pytest.fixture(params=["files", "redis"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    if request.param == "files":
        yield Settings(var_dir=tmp_path)
        return
    with redis_server() as url:
        yield Settings(var_dir=tmp_path, broker_url=url)


def test_messages_do_not_pile_up_while_every_slot_is_busy(settings: Settings) -> None:
    celery = make_celery(settings)
    bell = Bell(celery)
    for _ in range(3 * MOST_PENDING):
        bell.ring()
    with celery.connection_for_read() as connection:
        queue = connection.SimpleQueue("edgeface")
        assert queue.qsize() == MOST_PENDING
        queue.get_nowait().ack()
        bell.ring()
        bell.ring()
        assert queue.qsize() == MOST_PENDING
        for _ in range(MOST_PENDING):
            message = queue.get_nowait()
            assert message.headers["expires"] is None, "one that waits wakes a worker whenever that comes"
            message.ack()
        queue.close()


MALFORMED: dict[str, bytes] = {
    "no text": b"\xff\xfe",
    "no JSON": b"{",
    "deep JSON": 100_000 * b"[",
    "no object": b"[]",
    "kombu's own types": b'{"__type__": "uuid", "__value__": 3}',
    "no headers": json.dumps({"properties": {"delivery_tag": "1"}}).encode(),
    "another task": json.dumps(
        {"headers": {"task": "os.system", "id": "1"}, "properties": {"delivery_tag": "1"}, "body": "W10="}
    ).encode(),
    "an id that is a list": json.dumps(
        {"headers": {"task": RUN_NEXT_JOB, "id": [1]}, "properties": {"delivery_tag": "1"}}
    ).encode(),
}


def put_raw(settings: Settings, message: bytes) -> None:
    """As somebody who can write to the broker."""
    if settings.broker_url:
        with redis.Redis.from_url(settings.broker_url) as client:
            client.lpush("edgeface", message)
    else:
        (settings.var_dir / "broker" / "messages" / f"0_{os.urandom(4).hex()}.edgeface.msg").write_bytes(message)


def test_malformed_messages_are_dropped_and_the_next_one_arrives(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    celery = make_celery(settings)
    for message in MALFORMED.values():
        put_raw(settings, message)
    foreign = {"headers": {"task": RUN_NEXT_JOB, "id": "7", "eta": "x", "retries": []}, "body": "!", "content-type": 3}
    put_raw(settings, json.dumps({**foreign, "properties": {"delivery_tag": "8", "body_encoding": "rot13"}}).encode())
    Bell(celery).ring()
    with celery.connection_for_read() as connection, closing(connection.SimpleQueue("edgeface")) as queue:
        for task_id in ("7", None):
            message = queue.get(timeout=10)
            assert message.payload == [[], {}, {}], "nothing of a foreign message but its ids arrives"
            assert message.headers["task"] == RUN_NEXT_JOB
            assert message.headers["id"] == task_id or task_id is None
            message.ack()
        with pytest.raises(queue.Empty):
            queue.get_nowait()
    assert caplog.text.count("a malformed message") == len(MALFORMED)


def test_nobody_controls_workers_through_the_broker(tmp_path: Path) -> None:
    assert not make_celery(Settings(var_dir=tmp_path)).conf.worker_enable_remote_control


def test_a_broker_that_is_down_is_logged_and_raises_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Bell(make_celery(Settings(var_dir=tmp_path, broker_url=f"redis://127.0.0.1:{free_port()}/0"))).ring()
    assert "the broker does not answer" in caplog.text
