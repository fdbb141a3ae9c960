"""Traces received and shown: an OTLP/HTTP endpoint in this process, and one trace as a tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Status
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Sent
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Span:
    """One span. Times in seconds since 1970; `parent_id` is empty for a root; `error` is none if it went well."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    started: float
    ended: float
    error: str | None
    attributes: dict[str, str]


@dataclass
class Received:
    """`url` is for OTEL_EXPORTER_OTLP_ENDPOINT; `spans` grows while the endpoint listens."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)

    def trace_of(self, call_id: object) -> list[Span]:
        """All spans of the traces that a call is named in: one trace, if all is well."""
        ids = {span.trace_id for span in self.spans if span.attributes.get("call_id") == str(call_id)}
        return [span for span in self.spans if span.trace_id in ids]


@contextmanager
def receiving() -> Iterator[Received]:
    """Listens on loopback, on a port that the kernel chooses, for traces by OTLP over HTTP (protobuf)."""
    received = Received()

    class Endpoint(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.spans += spans_in(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        received.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


def spans_in(request: ExportTraceServiceRequest) -> list[Span]:
    """The spans of one export."""
    return [
        _span(sent, group) for group in request.resource_spans for scope in group.scope_spans for sent in scope.spans
    ]


def _span(sent: Sent, group: ResourceSpans) -> Span:
    service = next(item.value.string_value for item in group.resource.attributes if item.key == "service.name")
    return Span(
        trace_id=sent.trace_id.hex(),
        span_id=sent.span_id.hex(),
        parent_id=sent.parent_span_id.hex(),
        service=service,
        name=sent.name,
        kind=Sent.SpanKind.Name(sent.kind).removeprefix("SPAN_KIND_").lower(),
        started=sent.start_time_unix_nano / 1e9,
        ended=sent.end_time_unix_nano / 1e9,
        error=(sent.status.message or "error") if sent.status.code == Status.STATUS_CODE_ERROR else None,
        attributes={item.key: item.value.string_value for item in sent.attributes},
    )


def tree(spans: list[Span]) -> Table:
    """One trace: when each span began after the first, what it was (under what it followed from), whose, how long."""
    ordered = sorted(spans, key=lambda span: span.started)
    known = {span.span_id for span in ordered}
    first, last = ordered[0].started, max(span.ended for span in ordered)
    services = len({span.service for span in ordered})
    title = f"Trace {ordered[0].trace_id}: {len(ordered)} spans in {services} services, {last - first:.2f} s"
    table = Table("after", "span", "service", "took", "error", title=title, title_justify="left", box=None)
    # From the roots down, and not by time alone: on two machines' clocks a child may begin before its parent.
    waiting = [(0, span) for span in reversed(ordered) if span.parent_id not in known]
    while waiting:
        depth, span = waiting.pop()
        indent = "│ " * (depth - 1) + "├ " * (depth > 0)
        after, took = span.started - first, (span.ended - span.started) * 1000
        table.add_row(f"{after:.3f} s", indent + span.name, span.service, f"{took:.1f} ms", span.error)
        waiting += [(depth + 1, child) for child in reversed(ordered) if child.parent_id == span.span_id]
    return table
