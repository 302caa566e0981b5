"""What keeps a process of the service from starting is one error with the next step, and an exit status of its own."""

import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from app.cli.service import main
from app.settings import Settings
from app.startup import only_serve
from tests.support.privileges import bound_by_modes

Outcome = tuple[int, str]
Run = Callable[..., Outcome]


@pytest.fixture
def run(var_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Call the command line of a service in `var_dir`. Returns its exit status and what it prints on stderr."""

    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    monkeypatch.setattr("sys.excepthook", sys.excepthook)  # the commands set a log of their own
    monkeypatch.setattr("threading.excepthook", threading.excepthook)

    def called(*arguments: str, **environment: str) -> Outcome:
        monkeypatch.setattr("sys.argv", ["edgeface-finetune", *arguments])
        monkeypatch.setenv("EDGEFACE_VAR_DIR", str(var_dir))
        for name, value in environment.items():
            monkeypatch.setenv(f"EDGEFACE_{name.upper()}", value)
        with pytest.raises(SystemExit) as ended:
            main()
        logging.captureWarnings(False)
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return called


def one_error(outcome: Outcome, status: int) -> str:
    """The error, of which there is one."""
    found, text = outcome
    errors = [line for line in text.splitlines() if line.startswith("error: ")]
    assert (found, len(errors), "Traceback" in text) == (status, 1, False), text
    assert "  hint: " in text
    return errors[0]


@contextmanager
def listening() -> Iterator[int]:
    """A port on which another program listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("command", ["serve", "api"])
def test_a_port_that_is_taken(run: Run, command: str) -> None:
    with listening() as port:
        error = one_error(run(command, "--port", str(port)), 3)
    assert error == (f"error: the API cannot listen on 127.0.0.1:{port}: Address already in use (address_unavailable)")


def test_a_host_that_is_none_of_this_machine(run: Run) -> None:
    assert "cannot listen on 192.0.2.1:8000: Cannot assign" in one_error(run("serve", "--host", "192.0.2.1"), 3)


@pytest.mark.parametrize("command", ["serve", "api", "worker"])
def test_a_folder_that_cannot_be_written(run: Run, command: str, var_dir: Path) -> None:
    with ExitStack() as after:
        after.enter_context(bound_by_modes())
        Settings(var_dir=var_dir).make_directories()
        var_dir.chmod(0o555)
        after.callback(var_dir.chmod, 0o755)
        error = one_error(run(command), 3)
    assert error == f"error: {var_dir} cannot be written: Permission denied (folder_not_writable)"


def test_a_folder_that_is_a_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    error = one_error(run("serve", var_dir=str(tmp_path / "file" / "var")), 3)
    assert error.endswith("cannot be written: Not a directory (folder_not_writable)")


def test_a_second_serve_on_the_same_folder(run: Run, var_dir: Path) -> None:
    with only_serve(var_dir):
        error = one_error(run("serve"), 3)
    assert error.startswith(f"error: edgeface-finetune serve runs on {var_dir} already (process ")
    with only_serve(var_dir):
        pass  # the first has ended


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("database_url", "mysql://user:hunter2@host/db", "'mysql' is not supported; use sqlite or postgresql+psycopg"),
        ("database_url", "postgresql+asyncpg://user:hunter2@host/db", "is not supported"),
        ("database_url", "user:hunter2@host/db", "it is not a URL such as postgresql://USER:PASSWORD@HOST/NAME"),
        ("database_url", "postgresql://user:hunter2@x:y@host/db", "percent-encoded"),
        ("database_url", "postgresql://user:12/hunter2@host/db", "percent-encoded"),
        ("database_url", "postgresql://user:12?hunter2@host/db", "percent-encoded"),
        ("broker_url", "redis://:hunter2#x@host/0", "percent-encoded"),
        ("broker_url", "kafkaesque://:hunter2@host", "is no broker that is supported; use redis"),
        ("port", "70000", "must be at most 65535"),
        ("port", "http", "must be a whole number"),
    ],
)
def test_settings_that_cannot_be_used(run: Run, variable: str, value: str, said: str) -> None:
    error = one_error(run("serve", **{variable: value}), 2)
    assert error.startswith(f"error: EDGEFACE_{variable.upper()}: ")
    assert said in error
    assert "hunter2" not in error


def test_an_option_that_is_no_port(run: Run) -> None:
    status, text = run("serve", "--port", "70000")
    assert (status, "70000 is not in the range" in text) == (2, True)


@pytest.mark.parametrize("command", ["api", "worker"])
@pytest.mark.parametrize("whole", [True, False], ids=["no database", "damaged pages"])
def test_a_database_that_is_damaged(run: Run, command: str, whole: bool, var_dir: Path) -> None:
    path = var_dir / "edgeface.sqlite"
    content = path.read_bytes()
    path.write_bytes(bytes(len(content)).replace(b"\0", b"x") if whole else content[:100] + b"\xff" * 20_000)
    error = one_error(run(command, "--port", "0") if command == "api" else run(command), 3)
    assert error.startswith("error: the database is damaged: ")
    assert error.endswith("(database_damaged)")


def test_a_database_that_does_not_let_the_service_in_hides_the_password(run: Run) -> None:
    with listening() as port:  # and says nothing, as a server that is stuck
        pass
    status, text = run("api", "--port", "0", database_url=f"postgresql://user:hunter%402@127.0.0.1:{port}/db")
    assert one_error((status, text), 1).startswith("error: the database does not answer")
    assert "hunter" not in text


def test_no_form_of_a_password_is_in_the_settings_as_text() -> None:
    settings = Settings(
        database_url="postgresql://user:hunter%402@host/db?sslpassword=hunter3", broker_url="redis://:hunter4@host/0"
    )
    for text in (repr(settings), str(settings), f"{settings}"):
        assert "hunter" not in text
        assert "postgresql+psycopg://user:***@host/db?sslpassword=***" in text
        assert "redis://:***@host/0" in text
    assert settings.database_url == "postgresql+psycopg://user:hunter%402@host/db?sslpassword=hunter3"
    with pytest.raises(ValueError, match="percent-encoded") as wrong:
        Settings(database_url="postgresql://user:hunt@er2@host/db")
    assert "er2" not in str(wrong.value)
