"""Traces go over API, queue and worker to a receiver of OTLP; without the variables nothing is loaded."""

import gzip
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.trace import format_trace_id

from app.database import Database
from app.jobs.states import JobStatus
from app.main import create_app
from app.settings import Settings
from app.tracing import configure_tracing, end_tracing, ids_of, tracer_provider
from tests.integration.conftest import submit
from tests.integration.test_supervisor import settings, supervise, wait_for_status, wait_until
from tests.trainers import fixtures
from worker.messages import TrainerMain
from worker.supervisor import Supervisor

__all__ = ["settings", "supervise"]


@pytest.fixture(params=["sqlite"])
def database_url(tmp_path: Path, sqlite_template: Path) -> str:
    path = tmp_path / "edgeface.sqlite"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Span]]:
    """The spans that the receiver gets. `end_tracing` sends them all."""
    received: list[Span] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    received.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield received
    end_tracing()
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_job_is_a_trace_from_its_submission_to_its_phases(
    spans: list[Span], database: Database, supervise: Callable[[TrainerMain], Supervisor]
) -> None:
    configure_tracing("worker")
    job_id = submit(database)
    supervise(fixtures.tell_phases)
    wait_for_status(database, job_id, JobStatus.SUCCEEDED)
    wait_until(lambda: "attempt" in sent(spans))
    by_name = {span.name: span for span in spans}
    trace_id, root_id = ids_of(job_id)
    assert {format_trace_id(int.from_bytes(span.trace_id)) for span in spans} == {format_trace_id(trace_id)}
    root, queued, attempt = by_name["job"], by_name["queued"], by_name["attempt"]
    assert (int.from_bytes(root.span_id), root.parent_span_id) == (root_id, b"")
    assert queued.parent_span_id == attempt.parent_span_id == root.span_id
    assert queued.end_time_unix_nano <= attempt.start_time_unix_nano
    phases = [span for span in spans if span.parent_span_id == attempt.span_id]
    assert [span.name for span in phases] == ["checking", "stage_1"]
    assert phases[0].end_time_unix_nano <= phases[1].start_time_unix_nano
    attributes = {each.key: each.value.string_value or each.value.int_value for each in attempt.attributes}
    assert attributes["edgeface.job"] == job_id
    assert attributes["edgeface.attempt"] == 1


def sent(spans: list[Span]) -> set[str]:
    """The names of all spans that have ended."""
    provider = tracer_provider()
    assert provider is not None
    provider.force_flush()
    return {span.name for span in spans}


def test_a_request_is_a_span_and_what_machines_ask_is_none(spans: list[Span], var_dir: Path) -> None:
    configure_tracing("api")
    with TestClient(create_app(Settings(var_dir=var_dir))) as api:
        api.get("/jobs/unknown")
        api.get("/health/live")
    assert [span.name for span in spans] == ["GET /jobs/{job_id}"]


@pytest.mark.parametrize("module", ["app.main", "worker.tasks"])
def test_nothing_is_loaded_without_the_variables(module: str) -> None:
    """FastAPI and redis load the API of OpenTelemetry themselves, and the SDK's metrics where they are installed."""
    script = f"import sys, {module}\nfrom app.tracing import configure_tracing\nconfigure_tracing('api')\n"
    script += "never = ('opentelemetry.exporter', 'opentelemetry.sdk.trace')\n"
    script += "print([name for name in sys.modules if name.startswith(never)])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
