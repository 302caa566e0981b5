"""Traces by OpenTelemetry, with the extra `otel`, if a standard variable names where to send them.

Each job is a trace, whose ids follow from the job's id: API and workers add to it without passing anything on. Its root
links to the request that submitted the job. Without such a variable nothing is imported and nothing is done.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_NAME = "edgeface-finetune"

_log = logging.getLogger(__name__)
_next_ids: ContextVar[tuple[int, int] | None] = ContextVar("next_ids", default=None)
_provider: "TracerProvider | None" = None


def configure_tracing(process: str) -> None:
    """Send the traces of this process, if the environment says where."""
    global _provider
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    if off or not any(os.environ.get(name) for name in _ENDPOINTS):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    except ImportError:
        _log.warning("OTEL_ variables are set, and no trace is sent: pip install 'edgeface-finetune[otel]'")
        return

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            given = _next_ids.get()
            return super().generate_trace_id() if given is None else given[0]

        def generate_span_id(self) -> int:
            given = _next_ids.get()
            return super().generate_span_id() if given is None else given[1]

    name = os.environ.get("OTEL_SERVICE_NAME") or f"{_NAME}-{process}"
    _provider = TracerProvider(resource=Resource.create({"service.name": name}), id_generator=Ids())
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


def end_tracing() -> None:
    """Send what is not sent yet, and stop."""
    global _provider
    ending, _provider = _provider, None
    if ending is not None:
        ending.shutdown()


def tracer_provider() -> "TracerProvider | None":
    """Return the provider of this process, None if it sends no traces."""
    return _provider


def ids_of(job_id: str) -> tuple[int, int]:
    """Return the trace id of a job, and the span id of its root."""
    digest = hashlib.sha256(f"edgeface job {job_id}".encode()).digest()
    return int.from_bytes(digest[:16]), int.from_bytes(digest[16:24])


def trace_submitted(job_id: str, kind: str) -> None:
    """Write the root of a job's trace. The request that submitted it gets the job's id."""
    if _provider is None:
        return
    from opentelemetry import trace
    from opentelemetry.context import Context

    request = trace.get_current_span()
    request.set_attribute("edgeface.job", job_id)
    links = [trace.Link(request.get_span_context())] if request.get_span_context().is_valid else []
    token = _next_ids.set(ids_of(job_id))
    try:
        tracer = _provider.get_tracer(_NAME)
        attributes = {"edgeface.job": job_id, "edgeface.kind": kind}
        tracer.start_span("job", context=Context(), links=links, attributes=attributes).end()
    finally:
        _next_ids.reset(token)


def trace_queued(job_id: str, queued_at: float) -> None:
    """Write the wait in the queue, which has ended now. `queued_at`: seconds since 1970."""
    if _provider is not None:
        tracer = _provider.get_tracer(_NAME)
        tracer.start_span("queued", context=_context_of(job_id), start_time=int(queued_at * 1e9)).end()


@contextmanager
def traced_attempt(job_id: str, attempt: int, worker_id: str) -> Iterator[None]:
    """Trace an attempt while the block runs. The spans that this thread makes in it are its children."""
    if _provider is None:
        yield
        return
    attributes: dict[str, str | int] = {
        "edgeface.job": job_id,
        "edgeface.attempt": attempt,
        "edgeface.worker": worker_id,
    }
    tracer = _provider.get_tracer(_NAME)
    with tracer.start_as_current_span("attempt", context=_context_of(job_id), attributes=attributes):
        yield


class PhaseSpans:
    """The phases of one attempt: one span for each, until the next begins."""

    def __init__(self) -> None:
        self._open: Span | None = None

    def start(self, phase: str) -> None:
        self.end()
        if _provider is not None:
            self._open = _provider.get_tracer(_NAME).start_span(phase, attributes={"edgeface.phase": phase})

    def end(self) -> None:
        if self._open is not None:
            self._open.end()
            self._open = None


def telemetry_of_api(quiet: tuple[str, ...]) -> dict[str, Any]:
    """Return FastAPI's own settings: a span for each request but those of the paths in `quiet`, if traces are sent."""
    config: dict[str, Any] = {"metrics": False, "logs": False, "operation_spans": False, "auto_configure": False}
    if _provider is None:
        return config | {"tracing": False}
    return config | {"tracer_provider": _provider, "exclude": lambda scope: scope.get("path") in quiet}


def _context_of(job_id: str) -> "Context":
    from opentelemetry import trace

    trace_id, span_id = ids_of(job_id)
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
    root = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(root))
