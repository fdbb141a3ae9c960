"""Receiving traces by an OTLP/HTTP endpoint in this process, and showing one trace as a tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtobufSpan
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Span:
    """One span. `started_at` and `ended_at`: seconds since 1970. `parent_id` is empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    started_at: float
    ended_at: float
    error: str | None
    attributes: dict[str, str]


@dataclass
class TraceReceiver:
    """An OTLP endpoint. `url`: the value for OTEL_EXPORTER_OTLP_ENDPOINT. `spans`: all spans received so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def trace_of(self, call_id: object) -> list[Span]:
        """Returns all spans of the traces in which a span names this call; normally one trace."""
        ids = {span.trace_id for span in self.spans if span.attributes.get("call_id") == str(call_id)}
        return [span for span in self.spans if span.trace_id in ids]


@contextmanager
def receive_traces() -> Iterator[TraceReceiver]:
    """Runs an endpoint for OTLP over HTTP (protobuf) on a free port of the loopback interface."""
    receiver = TraceReceiver()

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.spans += spans_in(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        receiver.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def spans_in(request: ExportTraceServiceRequest) -> list[Span]:
    """Returns the spans of one export request."""
    return [
        _span(span, group) for group in request.resource_spans for scope in group.scope_spans for span in scope.spans
    ]


def _span(span: ProtobufSpan, group: ResourceSpans) -> Span:
    service = next(item.value.string_value for item in group.resource.attributes if item.key == "service.name")
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        kind=ProtobufSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        started_at=span.start_time_unix_nano / 1e9,
        ended_at=span.end_time_unix_nano / 1e9,
        error=(span.status.message or "error") if span.status.code == Status.STATUS_CODE_ERROR else None,
        attributes={item.key: item.value.string_value for item in span.attributes},
    )


def tree(spans: list[Span]) -> Table:
    """Returns one trace as a table: each span below its parent, with its relative start and its duration."""
    ordered = sorted(spans, key=lambda span: span.started_at)
    known = {span.span_id for span in ordered}
    first, last = ordered[0].started_at, max(span.ended_at for span in ordered)
    services = len({span.service for span in ordered})
    title = f"Trace {ordered[0].trace_id}: {len(ordered)} spans in {services} services, {last - first:.2f} s"
    table = Table("after", "span", "service", "duration", "error", title=title, title_justify="left", box=None)
    # From the roots down, not by time alone: by two machines' clocks a child may begin before its parent.
    waiting = [(0, span) for span in reversed(ordered) if span.parent_id not in known]
    while waiting:
        depth, span = waiting.pop()
        indent = "│ " * (depth - 1) + "├ " * (depth > 0)
        after, duration = span.started_at - first, (span.ended_at - span.started_at) * 1000
        table.add_row(f"{after:.3f} s", indent + span.name, span.service, f"{duration:.1f} ms", span.error)
        waiting += [(depth + 1, child) for child in reversed(ordered) if child.parent_id == span.span_id]
    return table
